"""Stop texts are found however they are spelled, and nothing that may be one is shown."""

import pytest

from tests.workers.letters import Letters
from workers.forcing.stop_text import StopTexts
from workers.format import ThinkingFormat, bind


class Bytes(Letters):
    """Letters that are not ASCII are a token for each byte of theirs, as in byte-level BPE."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [
            token
            for piece in self._pattern.findall(text)
            for token in ([self.known[piece]] if piece in self.known else piece.encode())
        ]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        texts = {number: text.encode() for text, number in self.known.items()}
        parts = [texts.get(token, bytes([token])) for token in token_ids]
        return b"".join(parts).decode(errors="replace")


KNOWN = ("</s>", "ab", "x<", "x<s", "s>y", "<s>", "yxx<s>")


def stops(*texts: str) -> StopTexts:
    format_ = ThinkingFormat("any", "", "]", "]", stop_texts=texts)
    return StopTexts(bind(format_, Bytes(*KNOWN)))


def ids(*pieces: str) -> list[int]:
    tokenizer = Bytes(*KNOWN)
    return [token for piece in pieces for token in tokenizer.encode(piece)]


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (("ab", "<", "s", ">"), ("ab",)),
        (("ab", "<s>"), ("ab",)),
        (("ab", "x<s", ">"), ("ab", "x")),
        (("ab", "x<", "s>y"), ("ab", "x")),
        (("<s>",), ()),
        (("ab", "<", "<", "s", ">"), ("ab", "<")),
    ],
)
def test_a_stop_text_is_dropped_however_it_is_cut_into_tokens(
    pieces: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    assert stops("<s>").before_stop(ids(*pieces)) == ids(*kept)


def test_of_stop_texts_that_end_together_the_longest_is_dropped() -> None:
    for texts in (("<s>", "s>"), ("s>", "<s>")):
        assert stops(*texts).before_stop(ids("ab", "<", "s", ">")) == ids("ab")


def test_a_stop_text_that_was_let_pass_before_is_not_the_stop() -> None:
    assert stops("<s>").before_stop(ids("<s>", "<s>")) == ids("<s>")


def test_text_before_a_stop_in_its_token_never_takes_more_tokens_than_there_were() -> None:
    assert stops("<s>").before_stop(ids("ab", "yxx<s>")) == ids("ab", "y")


def test_without_a_stop_text_nothing_is_dropped() -> None:
    assert stops("<s>").before_stop(ids("ab", "<", "s")) == ids("ab", "<", "s")
    assert stops("<s>").before_stop([]) == []


@pytest.mark.parametrize(
    ("pieces", "unsure"),
    [
        (("ab",), 0),
        (("ab", "<"), 1),
        (("ab", "<", "s"), 2),
        (("ab", "<", "s", "<"), 1),
        (("ab", "x<"), 1),
        (("ab", "x<s"), 1),
        ((), 0),
    ],
)
def test_tokens_that_may_begin_a_stop_text_are_unsure(pieces: tuple[str, ...], unsure: int) -> None:
    assert stops("<s>").unsure(ids(*pieces)) == unsure


def test_the_bytes_of_a_stop_text_are_unsure_from_the_first_on() -> None:
    finder, spelled = stops("结束"), ids("结束")
    assert len(spelled) == 6
    for size in range(1, 6):
        assert finder.unsure([*ids("ab"), *spelled[:size]]) == size
    assert finder.before_stop([*ids("ab"), *spelled]) == ids("ab")


def test_whole_characters_that_begin_no_stop_text_are_sure() -> None:
    assert stops("结束").unsure(ids("ab", "束")) == 0


def test_a_format_without_stop_texts_is_always_sure() -> None:
    format_ = ThinkingFormat("any", "", "]", "]", stops=("]",))
    finder = StopTexts(bind(format_, Bytes(*KNOWN)))
    assert finder.unsure(ids("<", "s")) == 0
    assert finder.before_stop(ids("ab", "<")) == ids("ab", "<")
