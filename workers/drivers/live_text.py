"""The text of a streamed chain, decoded piece by piece."""

import itertools
from collections.abc import Callable
from typing import Any, Literal

from tokenizers.decoders import DecodeStream

from workers.drivers.token_text import whole_letters
from workers.forcing.chain import Segment
from workers.sample import Delta


class LiveText:
    """The text of a streamed chain, in whole characters and coalesced.

    A decoder holds a token back whose character is not whole yet, with the letters before it in
    the same token. `end` gives those letters; the part of a character is dropped.
    """

    def __init__(self, tokenizer: Any, number: int, emit: Callable[[Delta], None]) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._number, self._emit = number, emit
        self._tokenizer = tokenizer
        self._streams: dict[str, DecodeStream] = {}
        self._unsaid: dict[str, list[int]] = {}
        self._held: list[Delta] = []

    def hold(self, segments: list[Segment]) -> None:
        for segment in segments:
            if segment.phase == "done" or not segment.tokens:
                continue
            if segment.phase == "answer":
                self._end_phase("thinking")
            stream = self._streams.setdefault(
                segment.phase, DecodeStream(skip_special_tokens=False)
            )
            unsaid = self._unsaid.setdefault(segment.phase, [])
            text, count = "", len(segment.tokens)
            for token in segment.tokens:
                unsaid.append(token)
                if piece := stream.step(self._backend, token):
                    text += piece
                    unsaid.clear()
            self._held.append(Delta(self._number, segment.phase, text, count))

    def end(self) -> None:
        """Hold what is left: no more text will come."""
        self._end_phase("thinking")
        self._end_phase("answer")

    def _end_phase(self, phase: Literal["thinking", "answer"]) -> None:
        if unsaid := self._unsaid.pop(phase, None):
            left = whole_letters(self._tokenizer.decode(unsaid, skip_special_tokens=False))
            if left:
                self._held.append(Delta(self._number, phase, left, 0))

    def drop(self) -> None:
        self._held.clear()

    def flush(self, only: Literal["thinking"] | None = None) -> None:
        for phase, group in itertools.groupby(self._held, key=lambda delta: delta.phase):
            deltas = list(group)
            if only not in (None, phase):
                self._held = deltas
                return
            text = "".join(delta.text for delta in deltas)
            tokens = sum(delta.tokens for delta in deltas)
            self._emit(Delta(self._number, phase, text, tokens))
        self._held.clear()
