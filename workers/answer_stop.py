"""Where a caller's stop texts end an answer: before the one that is complete first."""

from collections.abc import Sequence
from typing import NamedTuple

from workers.format import TokenFormat


class FoundStop(NamedTuple):
    """Where a stop text begins, and which one it is."""

    at: int
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
) -> tuple[list[int], str] | None:
    """The tokens of an answer before its stop, and that stop; None without any. White space at the
    head of the answer is not searched. `head` is what is forced there, and is searched too.

    Where the stop begins inside a token, the text before it in that token is encoded anew, and if
    that should take more tokens than there were, loses its end.
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
            return [*answer[:count], *rest][: len(answer)], found.text
    return [], found.text
