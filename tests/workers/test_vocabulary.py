"""A format is checked against a model's tokenizer before any engine starts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.config import EngineConfig
from scheduler.engines.factory import check
from workers.format import S1, S1_STEPS, THINK_TAGS
from workers.models import POCKET_FOLDER
from workers.vocabulary import check_format

POCKET = str(POCKET_FOLDER)


@pytest.mark.parametrize("format_", [S1, S1_STEPS], ids=lambda each: each.name)
def test_what_the_tokenizer_spells_passes_by_its_files_alone(
    format_: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert format_ in (S1, S1_STEPS)
    monkeypatch.setattr("workers.vocabulary.load_tokenizer", None)
    check_format(S1 if format_ is S1 else S1_STEPS, POCKET)


@pytest.mark.parametrize(
    ("format_", "told"),
    [
        (THINK_TAGS, "think-tags"),
        (replace(S1, stops=("<|im_start|>answer",)), "is . tokens"),
        (replace(S1, stop_texts=("\ud800",)), "cannot spell stop_texts"),
    ],
)
def test_what_it_cannot_spell_is_refused(format_: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_format(format_, POCKET)  # type: ignore[arg-type]


def test_settings_are_refused_before_anything_starts() -> None:
    check(EngineConfig())
    with pytest.raises(ValueError, match="think-tags"):
        check(EngineConfig(format="think-tags"))


def test_the_tokenizer_may_be_named_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="think-tags"):
        check_format(THINK_TAGS, str(tmp_path), {"tokenizer": POCKET})
    check_format(THINK_TAGS, str(tmp_path), {"tokenizer": POCKET, "tokenizer_mode": "mistral"})


def test_a_tokenizer_that_cannot_be_read_here_is_left_to_the_engine(tmp_path: Path) -> None:
    check_format(THINK_TAGS, "nobody/has-this-model")
    for text in ("", "{}", "[1]", "{torn"):
        (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
        (tmp_path / "tokenizer_config.json").write_text(text, encoding="utf-8")
        check_format(THINK_TAGS, str(tmp_path))


def test_what_its_files_seem_to_lack_transformers_decides(tmp_path: Path) -> None:
    shutil.copytree(POCKET_FOLDER, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["eos_token"] = {"content": settings["eos_token"], "special": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    check_format(S1, str(tmp_path))
