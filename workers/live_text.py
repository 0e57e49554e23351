"""The text of a streamed chain, decoded piece by piece."""

import itertools
from collections.abc import Callable
from typing import Any, Literal

from tokenizers.decoders import DecodeStream

from workers.forcing import Segment
from workers.sample import Delta


class LiveText:
    """The text of a streamed chain, in whole characters and coalesced."""

    def __init__(self, tokenizer: Any, number: int, emit: Callable[[Delta], None]) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._number, self._emit = number, emit
        self._streams: dict[str, DecodeStream] = {}
        self._held: list[Delta] = []

    def hold(self, segments: list[Segment]) -> None:
        for segment in segments:
            if segment.phase == "done" or not segment.tokens:
                continue
            stream = self._streams.setdefault(
                segment.phase, DecodeStream(skip_special_tokens=False)
            )
            pieces = [stream.step(self._backend, token) or "" for token in segment.tokens]
            text, count = "".join(pieces), len(segment.tokens)
            self._held.append(Delta(self._number, segment.phase, text, count))

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
