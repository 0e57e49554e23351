"""Models are found where they are said to be, with the format they are trained with."""

from dataclasses import replace
from pathlib import Path

import pytest

from workers.format import THINK_TAGS
from workers.models import (
    FORMAT_FILE,
    POCKET,
    POCKET_FOLDER,
    locate,
    thinking_format,
    write_thinking_format,
)


def test_the_embedded_model_lies_beside_the_code() -> None:
    assert locate(POCKET) == str(POCKET_FOLDER)
    assert (POCKET_FOLDER / "config.json").is_file()


@pytest.mark.parametrize("model", ["simplescaling/s1.1-32B", "Qwen/Qwen3-8B", "gpt2"])
def test_a_name_on_the_hub_is_left_as_it_is(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate(model) == model


def test_a_folder_with_a_model_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert locate(str(tmp_path)) == str(tmp_path)


def test_a_folder_is_found_from_here_and_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(locate("mine")) == Path("mine")
    assert Path(locate("./mine")) == Path("mine")
    assert locate("~/mine") == str(tmp_path / "mine")


@pytest.mark.parametrize("model", ["./missing", "../missing", "/missing/model", "~/missing"])
def test_a_missing_folder_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError) as caught:
        locate(model)
    assert str(caught.value) == f"model {model!r}: there is no such folder"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        locate(str(tmp_path))
    assert str(caught.value) == (
        f"model {str(tmp_path)!r}: the folder has no config.json, so it is not a model"
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (POCKET, "s1"),
        ("simplescaling/s1-32B", "s1"),
        ("simplescaling/s1.1-32B", "s1"),
        ("/models/S1.1-7B/", "s1"),
        ("./s1-mine", "s1"),
        ("Qwen/Qwen3-8B", "think-tags"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "think-tags"),
        ("s1-lab/other-model", "think-tags"),
        ("s10-large", "think-tags"),
    ],
)
def test_the_name_of_a_model_tells_its_format(model: str, name: str) -> None:
    assert thinking_format(model).name == name


def test_the_embedded_model_has_its_format_by_its_folder_too() -> None:
    assert thinking_format(str(POCKET_FOLDER)) == thinking_format(POCKET)
    assert thinking_format(str(POCKET_FOLDER)).name == "s1"


def test_weights_that_are_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.bin files, which run code"):
        locate(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert locate(str(tmp_path)) == str(tmp_path)


def test_a_format_beside_the_weights_wins_over_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "s1-mine"
    folder.mkdir()
    mine = replace(THINK_TAGS, name="mine", start="<reason>\n", greedy=True)
    write_thinking_format(folder, mine)
    assert thinking_format(str(folder)) == mine


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "name"),
        ("[", "Invalid JSON"),
        ('{"name": "x", "start": "", "end": "e", "end_on_cut": "f", "stops": ["s"]}', "end_on_cut"),
        ('{"name": "x", "start": "", "end": "e", "end_on_cut": "e", "stop": ["s"]}', "stop"),
    ],
)
def test_a_format_file_that_holds_none_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / FORMAT_FILE).write_text(text)
    with pytest.raises(ValueError, match=why) as error:
        thinking_format(str(tmp_path))
    assert FORMAT_FILE in str(error.value)
