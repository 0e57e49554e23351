"""One chain while a driver runs it: it takes deltas in and informs whoever watches the chain."""

import asyncio
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workers.answers.answer_shape import AnswerShape
from workers.drivers.confidence import ConfidenceMeter
from workers.drivers.core import Core, GenerateOptions, OutputDelta, TokenLogprobs
from workers.drivers.live_text import LiveText
from workers.forcing.chain import Chain, GenerateCall, Segment
from workers.forcing.checkpoint import Checkpoint, snapshot
from workers.forcing.probing import ProbePoints

# A streamed chain sends its text, and other chains report their progress, after so many seconds.
# That much is lost with an engine that dies. With more than BUSY_CHAINS chains the interval grows
# in proportion, up to the maximum: a message costs more than a token.
BUSY_CHAINS = 8
TEXT_SECONDS, MAX_TEXT_SECONDS = 0.03, 0.25
PROGRESS_SECONDS, MAX_PROGRESS_SECONDS = 0.25, 2.0

EndRequest = Literal["cancelled", "unsure", "conclude"]


@dataclass(frozen=True, slots=True)
class RunningOptions:
    """How a chain is sampled, and what its answer must look like."""

    thinking: GenerateOptions
    answering: GenerateOptions
    shape: AnswerShape = AnswerShape()
    #: Log-probabilities of the answer's tokens and of so many likeliest ones. None: none.
    logprobs: int | None = None

    @property
    def whole_answer(self) -> bool:
        """Whether the answer is only shown complete: no engine can continue it in the middle."""
        return not self.shape.plain or self.logprobs is not None


@dataclass(frozen=True, slots=True)
class Watchers:
    """What is informed while a chain runs; None where nobody asked for it."""

    live: LiveText | None = None
    report: Callable[[Checkpoint], None] | None = None
    meter: ConfidenceMeter | None = None
    points: ProbePoints | None = None
    #: Starts a trial answer after so many thinking tokens.
    probe: Callable[[int], None] | None = None
    #: How many chains the engine runs.
    concurrency: Callable[[], int] = lambda: 1


class Running:
    """A chain, its prompt and its watchers. `names` gives a new request name for every call.

    `end` aborts the chain in the core. Its driver notices by the finish "abort"
    and by asking for the next call.
    """

    def __init__(
        self,
        chain: Chain,
        number: int,
        prompt: Sequence[int],
        run_options: RunningOptions,
        names: Callable[[], str],
    ) -> None:
        self.chain, self.number = chain, number
        self.prompt, self.run_options, self.names = prompt, run_options, names
        self.watchers = Watchers()
        #: Token ids of the answer and their log-probabilities; empty unless they were asked for.
        self.scores: list[tuple[int, TokenLogprobs]] = []
        self._name = ""
        self._end: EndRequest | None = None
        self._aborted = False
        #: Lengths of the thinking at the natural ends that were ignored.
        self._ignored_ends: list[int] = []
        self._informed_at = -math.inf

    def tokens(self) -> list[int]:
        return self.chain.prompt(self.prompt)

    @property
    def options(self) -> GenerateOptions:
        """Of the next call. Every call of every chain has a seed of its own."""
        chain, options = self.chain, self.run_options
        now = options.answering if chain.phase == "answer" else options.thinking
        if (seed := now.params.seed) is None:
            return now
        derived = _derived(seed, self.number, len(chain.tokens))
        return replace(now, params=replace(now.params, seed=derived))

    def fresh_name(self) -> str:
        self._name = self.names()
        return self._name

    def call(self) -> GenerateCall | None:
        """What to generate next; None when there is nothing left. Carries out a request to end."""
        end, self._end = self._end, None
        if end == "conclude":
            self._show(self.chain.conclude())
        elif end is not None and self.chain.phase != "done":
            self.chain.abandon(end)
        return self.chain.next_call()

    def take(self, delta: OutputDelta) -> None:
        chain, phase, extensions = self.chain, self.chain.phase, self.chain.extensions_used
        before, watchers = chain.discarded_tokens, self.watchers
        segments = chain.feed(delta.tokens, delta.finish)
        if delta.finish == "abort" and not self._aborted:
            self._end = "cancelled"  # the core is being closed
        scores = delta.logprobs[: max(0, len(delta.tokens) + before - chain.discarded_tokens)]
        if self.run_options.logprobs is not None and phase == "answer":
            self.scores += zip(delta.tokens, scores, strict=False)
            del self.scores[len(chain.answer) :]
        if (meter := watchers.meter) and scores:
            (meter.think if phase == "thinking" else meter.answer)(scores)
            if meter.unsure and phase == "thinking":
                self._end = "unsure"
        if chain.extensions_used > extensions:
            self._ignored_ends.append(len(chain.thinking) - len(chain.extension))
        if watchers.points and watchers.probe and phase == "thinking":
            for position in watchers.points.due(chain.thinking, self._ignored_ends):
                watchers.probe(position)
        self._show(segments)

    def start(self, watchers: Watchers, at: Checkpoint, before: int) -> None:
        """Inform these watchers from now on. A new chain shows what is forced at its start.

        Of a chain that continues from a checkpoint, what was shown before is not shown again; the
        first `before` tokens of its thinking belong to an earlier request.
        """
        self.watchers = watchers
        if not at.begun:
            if opening := self.chain.opening():
                self._show(opening)
            return
        forced = self.chain.forced_answer
        answered = at.stop_cause is not None and not self.run_options.whole_answer
        if watchers.live:
            watchers.live.hold([Segment("thinking", at.thinking[before:])])
            watchers.live.hold([Segment("answer", (*forced, *at.answer))] if answered else [])
            watchers.live.drop()
        if forced and not answered:
            self._show([Segment("answer", forced)])

    async def end(self, core: Core, how: EndRequest) -> None:
        """Have the chain end: its call is aborted, and its driver learns why."""
        if how == "conclude" and self.chain.phase != "thinking":
            return
        self._end, self._aborted = how, True
        if self._name:
            await core.abort([self._name])

    @property
    def wants_to_end(self) -> bool:
        """Whether the driver should abort the running call: the chain is too unsure."""
        return self._end == "unsure"

    def _show(self, segments: list[Segment]) -> None:
        live, report = self.watchers.live, self.watchers.report
        if live:
            live.hold(segments)
        if not (live or report):
            return
        seconds, longest = PROGRESS_SECONDS, MAX_PROGRESS_SECONDS
        if live:
            seconds, longest = TEXT_SECONDS, MAX_TEXT_SECONDS
        busy = max(1.0, self.watchers.concurrency() / BUSY_CHAINS)
        if asyncio.get_running_loop().time() >= self._informed_at + min(longest, seconds * busy):
            self._inform()

    def _inform(self) -> None:
        """Send the text that is held and report the same: all that was sent can be continued."""
        live, report = self.watchers.live, self.watchers.report
        at = snapshot(self.chain)
        if at is None and report:
            return
        self._informed_at = asyncio.get_running_loop().time()
        whole = self.run_options.whole_answer
        if live:
            live.flush("thinking" if whole else None)
        if at and report:
            report(replace(at, answer=()) if whole else at)


def _derived(*numbers: int) -> int:
    """A seed of 63 bits."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
