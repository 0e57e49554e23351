"""One chain while a driver runs it: takes pieces in, and tells whoever watches."""

import asyncio
import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from tokenizers.decoders import DecodeStream

from workers.answers.answer_shape import AnswerShape
from workers.checkpoint import Checkpoint, snapshot
from workers.confidence import ConfidenceMeter
from workers.core import Core, OutputDelta, Sampling, TokenLogprobs
from workers.forcing import Chain, GenerateCall, Segment
from workers.probing import ProbePoints
from workers.sample import Delta

# Tokens of a streamed chain are sent together this often, and how far the others have come is told
# this often: so much is lost with an engine that dies. A message costs more than a token; so where
# more than CROWD chains run, each is heard of less often, within bounds that no reader minds.
CROWD = 8
COALESCE_SECONDS, MOST_COALESCE_SECONDS = 0.03, 0.25
PROGRESS_SECONDS, MOST_PROGRESS_SECONDS = 0.25, 2.0


class Running:
    """`names` gives a fresh request name for every call to the core.

    A chain that was told to `end` is aborted in the core; its driver finds out by the finish
    "abort", and by asking for the next call. With `whole_answer` the answer is not shown, nor its
    progress told, before it is complete: it cannot be gone on with in the middle. `crowd` tells
    how many chains run.
    """

    def __init__(
        self,
        chain: Chain,
        number: int,
        prompt: Sequence[int],
        sampling: Sampling,
        names: Callable[[], str],
    ) -> None:
        self.chain, self.number = chain, number
        self.thinking = self.answering = sampling
        self.prompt, self.names = prompt, names
        self.feed = chain.feed
        self.name = ""
        self.live: LiveText | None = None
        self.report: Callable[[Checkpoint], None] | None = None
        self.whole_answer = False
        self.shape = AnswerShape()
        self.scores: list[tuple[int, TokenLogprobs]] | None = None  # of the answer, if asked for
        self.most_scores = 0
        self.meter: ConfidenceMeter | None = None
        self.points: ProbePoints | None = None
        self.probe: Callable[[int], None] = lambda at: None
        self._wish: Literal["cancelled", "unsure", "conclude"] | None = None
        self._aborted = False
        self.crowd: Callable[[], int] = lambda: 1
        self._ends: list[int] = []
        self._told = -math.inf

    def tokens(self) -> list[int]:
        return self.chain.prompt(self.prompt)

    @property
    def sampling(self) -> Sampling:
        """Of the next call. A seed is of a chain's own, and another one after every "Wait"."""
        chain = self.chain
        now = self.answering if chain.phase == "answer" else self.thinking
        if now.seed is None:
            return now
        return replace(now, seed=_derived(now.seed, self.number, len(chain.tokens)))

    def fresh_name(self) -> str:
        self.name = self.names()
        return self.name

    def call(self) -> GenerateCall | None:
        """What to generate next, None when there is nothing left. Heeds what was wished."""
        wish, self._wish = self._wish, None
        if wish == "conclude":
            self._show(self.chain.conclude())
        elif wish is not None and self.chain.phase != "done":
            self.chain.abandon(wish)
        return self.chain.next_call()

    def take(self, piece: OutputDelta) -> None:
        chain, phase, extensions = self.chain, self.chain.phase, self.chain.extensions_used
        before = chain.discarded_tokens
        segments = self.feed(piece.tokens, piece.finish)
        if piece.finish == "abort" and not self._aborted:
            self._wish = "cancelled"  # the core is being closed
        own = piece.logprobs[: max(0, len(piece.tokens) + before - chain.discarded_tokens)]
        if self.scores is not None and phase == "answer":
            self.scores += zip(piece.tokens, own, strict=False)
        if self.meter and own:
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
        """Show what was forced before anything was generated."""
        if opening := self.chain.opening():
            self._show(opening)

    def go_on(self, at: Checkpoint, before: int) -> None:
        """Take in, without showing it again, what was shown of a chain that goes on; the first
        `before` tokens of its thinking were an earlier request's.
        """
        forced = self.chain.forced_answer
        answered = at.stop_cause is not None and not self.whole_answer
        if self.live:
            self.live.hold([Segment("thinking", at.thinking[before:])])
            self.live.hold([Segment("answer", (*forced, *at.answer))] if answered else [])
            self.live.drop()
        if forced and not answered:
            self._show([Segment("answer", forced)])

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
            self.live.hold(segments)
        if not (self.live or self.report):
            return
        usual, most = PROGRESS_SECONDS, MOST_PROGRESS_SECONDS
        if self.live:
            usual, most = COALESCE_SECONDS, MOST_COALESCE_SECONDS
        pace = min(most, usual * max(1.0, self.crowd() / CROWD))
        if asyncio.get_running_loop().time() >= self._told + pace:
            self._tell()

    def _tell(self) -> None:
        """Show what is held, and report just as much: all that was shown can be gone on from."""
        at = snapshot(self.chain)
        if at is None and self.report:
            return
        self._told = asyncio.get_running_loop().time()
        if self.live:
            self.live.flush("thinking" if self.whole_answer else None)
        if at and self.report:
            self.report(replace(at, answer=()) if self.whole_answer else at)


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


def _derived(*numbers: int) -> int:
    """A seed of 63 bits."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
