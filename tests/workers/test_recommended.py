"""What of a model's `generation_config.json` is followed, and what is not."""

import json
from pathlib import Path

import pytest

from workers.recommended import ends_of_turn, read_settings, recommended


def test_the_makers_values_are_followed() -> None:
    qwen = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [3]}
    assert recommended(qwen) == ({"temperature": 0.6, "top_p": 0.95, "top_k": 20}, ())
    assert str(recommended(qwen)) == "temperature 0.6, top_p 0.95, top_k 20"
    penalties = {"repetition_penalty": 1.05, "presence_penalty": 1.5, "frequency_penalty": -1}
    assert recommended(penalties | {"min_p": 0}).values == {
        "temperature": 1.0, "min_p": 0, **penalties
    }  # fmt: skip


@pytest.mark.parametrize(
    "file",
    [
        {"max_new_tokens": 512}, {"max_new_tokens": "x"}, {"temperature": 0}, {"temperature": -1},
        {"temperature": "0.6"}, {"temperature": float("nan")}, {"temperature": float("inf")},
        {"temperature": True}, {"temperature": [0.6]}, {"top_p": 0}, {"top_p": 7}, {"top_k": 2.5},
        {"top_k": -2}, {"top_k": True}, {"min_p": -0.1}, {"repetition_penalty": 0},
        {"repetition_penalty": -1}, {"presence_penalty": 9}, {"frequency_penalty": {}},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_cannot_be_followed_is_named(file: dict[str, object]) -> None:
    found = recommended(file)
    assert found.values == {"temperature": 1.0}
    ((name, value),) = file.items()
    assert found.ignored == (f"{name} {value!r}",)
    assert f"(ignored: {name} {value!r})" in str(found)


@pytest.mark.parametrize("file", [None, [], 3, "x", {}, {"top_k": None}, {"min_length": 9}])
def test_what_says_nothing_of_sampling_changes_nothing(file: object) -> None:
    assert recommended(file) == ({"temperature": 1.0}, ())


def test_ends_of_turn_are_ids() -> None:
    assert ends_of_turn({"eos_token_id": 2}) == (2,)
    assert ends_of_turn({"eos_token_id": [2, "3", None, True, -1, 4]}) == (2, 4)
    others: list[object] = [None, [], {}, {"eos_token_id": None}, {"eos_token_id": "</s>"}]
    for other in others:
        assert ends_of_turn(other) == ()


def test_the_file_is_read_from_a_folder(tmp_path: Path) -> None:
    assert read_settings(str(tmp_path)) == {}
    (tmp_path / "generation_config.json").write_text("{torn", encoding="utf-8")
    assert read_settings(str(tmp_path)) == {}
    (tmp_path / "generation_config.json").write_text(json.dumps({"top_k": 9}), encoding="utf-8")
    assert read_settings(str(tmp_path)) == {"top_k": 9}
    assert read_settings("nobody/has-this-model") == {}
    assert read_settings("no name/of a hub/") == {}
