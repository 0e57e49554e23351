"""Where a caller's stop texts end an answer: before the one that is complete first."""

from collections.abc import Sequence
from typing import NamedTuple

from workers.format import TokenFormat


class FoundStop(NamedTuple):
    """Where a stop text begins, and which one it is."""

    at: int
    text: str


class StoppedAnswer(NamedTuple):
    """An answer before its `stop`: its text, with what is forced at its head, and its tokens.

    Of a token in which the stop begins the text may take more tokens than there were: then they
    hold less than the text.
    """

    tokens: list[int]
    stop: str
    text: str


def first_stop(text: str, stops: Sequence[str]) -> FoundStop | None:
    """The stop that is complete first, of several the longest."""
    found = [(at + len(stop), at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    return FoundStop(*min(found)[1:]) if found else None


def end_of(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop that is complete first begins; None without any."""
    found = first_stop(text, stops)
    return found.at if found else None


def cut(text: str, stops: Sequence[str]) -> str:
    """The text before its stop."""
    return text[: end_of(text, stops)]


def before_stop(
    format_: TokenFormat, head: Sequence[int], answer: Sequence[int], stops: Sequence[str]
) -> StoppedAnswer | None:
    """The answer before its stop; None without any. White space at the
    head of the answer is not searched. `head` is what is forced there, and is searched too.

    Where the stop begins inside a token, the text before it in that token is encoded anew.
    """
    if not stops:
        return None
    text = format_.decode([*head, *answer])
    begin = len(text) - len(text.lstrip())
    found = first_stop(text[begin:], stops)
    if found is None:
        return None
    shown = text[: begin + found.at]
    for count in range(len(answer), -1, -1):
        before = format_.decode([*head, *answer[:count]])
        if shown.startswith(before):
            rest = format_.encode(shown[len(before) :]) if len(before) < len(shown) else ()
            tokens = [*answer[:count], *rest][: len(answer)]
            return StoppedAnswer(tokens, found.text, shown)
    return StoppedAnswer([], found.text, shown)
