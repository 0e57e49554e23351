"""Formats, and text token by token, in real vocabularies."""

from pathlib import Path
from typing import Any

import pytest

from workers.drivers.live_text import LiveText
from workers.forcing.chain import Segment
from workers.format import S1, S1_STEPS, THINK_TAGS, bind
from workers.sample import Delta
from workers.vocabulary import FileTokenizer, check_format

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("default")]

TEXTS = [
    "Wait, 7 * 8 = 56.\n\nSo the answer is \\boxed{56}.",
    "你好，世界！答案是四十二。",
    "🙂🙃👩‍👩‍👧‍👦🏳️‍🌈 and é ≠ é",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ₿ \u200b مرحبا\t\r\n  x",
]


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=["smollm", "qwen2", "qwen3"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_the_vocabulary_is_qwens_own(qwen2: Path) -> None:
    tokenizer = tokenizer_of(qwen2)
    assert tokenizer.encode("Hello world!", add_special_tokens=False) == [9707, 1879, 0]
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") == 151644


@pytest.mark.parametrize("format_", [S1, S1_STEPS], ids=lambda each: each.name)
def test_the_formats_of_s1_are_spelt_by_the_files_alone(
    folder: Path, format_: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.vocabulary.load_tokenizer", None)
    check_format(format_, str(folder))


def test_think_tags_need_a_vocabulary_that_has_them(smollm: Path, qwen2: Path, qwen3: Path) -> None:
    check_format(THINK_TAGS, str(qwen3))
    for other in (smollm, qwen2):
        with pytest.raises(ValueError, match="the stop '</think>' is . tokens"):
            check_format(THINK_TAGS, str(other))


def test_files_and_transformers_give_the_same_ids(folder: Path) -> None:
    by_files = FileTokenizer(
        folder / "tokenizer.json", {"eos_token": tokenizer_of(folder).eos_token}
    )
    first, second = bind(S1, by_files), bind(S1, tokenizer_of(folder))
    for part in ("start", "stops", "end", "end_on_cut", "newline", "extension", "end_of_turn"):
        assert getattr(first, part) == getattr(second, part)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("coalesced", [1, 3])
def test_streamed_text_is_whole_characters_whatever_the_tokens(
    folder: Path, text: str, coalesced: int
) -> None:
    tokenizer, shown = tokenizer_of(folder), list[Delta]()
    live = LiveText(tokenizer, 0, shown.append)
    tokens = tokenizer.encode(text, add_special_tokens=False)
    for at in range(0, len(tokens), coalesced):
        live.hold([Segment("thinking", tuple(tokens[at : at + coalesced]))])
        live.flush()
    assert "".join(delta.text for delta in shown) == text
    assert all("\ufffd" not in delta.text for delta in shown)
    assert sum(delta.tokens for delta in shown) == len(tokens)
