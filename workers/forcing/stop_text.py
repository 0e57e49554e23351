"""Stops that are text, not tokens: found whatever the tokens that the model spells them with."""

from collections.abc import Sequence
from typing import NamedTuple

from workers.format import TokenFormat

# What tokens that are only a part of a character decode to.
PARTIAL = "\ufffd"


class StopTexts(NamedTuple):
    format: TokenFormat

    def before_stop(self, tokens: Sequence[int]) -> list[int]:
        """The tokens up to the stop text that the last of them has completed.

        Where it begins inside a token, the text before it in that token is encoded anew, and if
        that should take more tokens than there were, loses its end.
        """
        tail = self._tail(tokens)
        text, known = self.format.decode(tail), self.format.decode(tail[:-1]).rstrip(PARTIAL)
        starts = [
            at
            for stop in self.format.stop_texts
            if (at := text.find(stop, max(0, len(known) - len(stop) + 1))) >= 0
        ]
        if not starts:
            return list(tokens)
        before = text[: min(starts)]
        whole = tail[: self._spelling(before, tail)]
        rest = self.format.encode(before[len(self.format.decode(whole)) :])
        return [*tokens[: len(tokens) - len(tail)], *whole, *rest][: len(tokens)]

    def unsure(self, tokens: Sequence[int]) -> int:
        """How many of the last tokens may be the beginning of a stop text: not to be shown yet."""
        if not self.format.stop_texts:
            return 0
        tail = self._tail(tokens)
        sure = self.format.decode(tail).rstrip(PARTIAL)
        held = max((overlap(sure, stop) for stop in self.format.stop_texts), default=0)
        return len(tail) - self._spelling(sure[: len(sure) - held], tail)

    def _tail(self, tokens: Sequence[int]) -> Sequence[int]:
        """The last tokens over which a stop text can be spread: each is a byte or more."""
        longest = max((len(stop.encode()) for stop in self.format.stop_texts), default=0)
        return tokens[len(tokens) - min(longest, len(tokens)) :]

    def _spelling(self, text: str, tokens: Sequence[int]) -> int:
        """How many of the tokens spell a beginning of the text."""
        sizes = range(len(tokens), 0, -1)
        return next((n for n in sizes if text.startswith(self.format.decode(tokens[:n]))), 0)


def overlap(tail: str, text: str) -> int:
    """Length of the longest end of `tail` that is a beginning of `text`."""
    sizes = range(min(len(tail), len(text)), 0, -1)
    return next((size for size in sizes if tail.endswith(text[:size])), 0)
