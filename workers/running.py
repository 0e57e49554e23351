"""One chain while a driver runs it: takes pieces in, and tells whoever watches."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tokenizers.decoders import DecodeStream

from workers.confidence import ConfidenceMeter
from workers.core import Core, Piece, Sampling
from workers.forcing import Call, Chain, Segment
from workers.probing import ProbePoints
from workers.sample import Delta

# Tokens of a streamed chain are sent together this often: a message costs more than a token.
COALESCE_SECONDS = 0.03


class Running:
    """`names` gives a fresh request name for every call to the core.

    A chain that was told to `end` is aborted in the core; its driver finds out by the finish
    "abort", and by asking for the next call.
    """

    def __init__(
        self,
        chain: Chain,
        number: int,
        prompt: Sequence[int],
        sampling: Sampling,
        names: Callable[[], str],
    ) -> None:
        self.chain, self.number, self.sampling = chain, number, sampling
        self.prompt, self.names = prompt, names
        self.feed = chain.feed
        self.name = ""
        self.live: LiveText | None = None
        self.meter: ConfidenceMeter | None = None
        self.points: ProbePoints | None = None
        self.probe: Callable[[int], None] = lambda at: None
        self._wish: Literal["cancelled", "unsure", "conclude"] | None = None
        self._aborted = False
        self._ends: list[int] = []

    def tokens(self) -> list[int]:
        return self.chain.prompt(self.prompt)

    def fresh_name(self) -> str:
        self.name = self.names()
        return self.name

    def call(self) -> Call | None:
        """What to generate next, None when there is nothing left. Heeds what was wished."""
        wish, self._wish = self._wish, None
        if wish == "conclude":
            self._show(self.chain.conclude())
        elif wish is not None and self.chain.phase != "done":
            self.chain.abandon(wish)
        return self.chain.next_call()

    def take(self, piece: Piece) -> None:
        chain, phase, extensions = self.chain, self.chain.phase, self.chain.extensions_used
        before = chain.discarded_tokens
        segments = self.feed(piece.tokens, piece.finish)
        if piece.finish == "abort" and not self._aborted:
            self._wish = "cancelled"  # the core is being closed
        if self.meter and piece.logprobs:
            own = piece.logprobs[: max(0, len(piece.tokens) + before - chain.discarded_tokens)]
            (self.meter.think if phase == "thinking" else self.meter.answer)(own)
            if self.meter.unsure and phase == "thinking":
                self._wish = "unsure"
        if chain.extensions_used > extensions:
            self._ends.append(len(chain.thinking) - len(chain.extension))
        if self.points and phase == "thinking":
            for at in self.points.due(chain.thinking, self._ends):
                self.probe(at)
        self._show(segments)

    def begin(self) -> None:
        self._show(self.chain.opening())

    async def end(self, core: Core, wish: Literal["cancelled", "unsure", "conclude"]) -> None:
        """Have the chain end: what it is doing is aborted, and its driver told why."""
        if wish == "conclude" and self.chain.phase != "thinking":
            return
        self._wish, self._aborted = wish, True
        if self.name:
            await core.abort([self.name])

    @property
    def wants_to_end(self) -> bool:
        """Whether the call under way should be aborted: its signals have fallen too low."""
        return self._wish == "unsure"

    def _show(self, segments: list[Segment]) -> None:
        if self.live:
            self.live.show(segments)


class LiveText:
    """The text of a streamed chain, in whole characters and coalesced."""

    def __init__(self, tokenizer: Any, number: int, emit: Callable[[Delta], None]) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._number, self._emit = number, emit
        self._streams: dict[str, DecodeStream] = {}
        self._held: list[Delta] = []
        self._sent = 0.0

    def show(self, segments: list[Segment]) -> None:
        for segment in segments:
            if segment.phase == "done" or not segment.tokens:
                continue
            stream = self._streams.setdefault(
                segment.phase, DecodeStream(skip_special_tokens=False)
            )
            pieces = [stream.step(self._backend, token) or "" for token in segment.tokens]
            text, count = "".join(pieces), len(segment.tokens)
            self._held.append(Delta(self._number, segment.phase, text, count))
        if time.monotonic() - self._sent >= COALESCE_SECONDS:
            self.flush()

    def flush(self) -> None:
        for phase, group in itertools.groupby(self._held, key=lambda delta: delta.phase):
            deltas = list(group)
            text = "".join(delta.text for delta in deltas)
            tokens = sum(delta.tokens for delta in deltas)
            self._emit(Delta(self._number, phase, text, tokens))
        self._held.clear()
        self._sent = time.monotonic()
