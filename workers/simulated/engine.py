"""An engine with a known law instead of a model: for tests, experiments, and a first look.

Accuracy, lengths and speed are given per class of question (workers/simulated/law.py). Seeded;
keeps time by the running loop's clock, real or virtual; dies on command. Trial answers cost tokens
but no time, as on a branch beside the chain; a paragraph is so many tokens; a suffix says nothing.
Tokens have no names: in a checkpoint they are all zero, and an answer begins anew.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from policies.signals import Probe
from workers.answers.answer_shape import shape_of
from workers.completion import CompletionEvent, CompletionRequest
from workers.context_length import too_long
from workers.engine import EngineEvent, EngineInfo, Load, SampleRequest
from workers.forcing.chain import UNANSWERED, StopCause
from workers.forcing.checkpoint import Checkpoint
from workers.sample import Accepted, ChainProgress, Delta, Sample, lost
from workers.side_by_side import Emit, side_by_side
from workers.simulated.course import SimulatedCourse, course_of, marks_of
from workers.simulated.law import ANSWER_TOKENS, Fate, Law
from workers.simulated.reply import completion, reply_of
from workers.simulated.thoughts import thoughts
from workers.simulated.words import MESSAGE_TOKENS, WordVocabulary


@dataclass(slots=True)
class _Orders:
    """What is requested of a running chain; one that answers has no more to conclude."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    order: Literal["cancelled", "concluded"] | None = None
    thinking: bool = True

    def tell(self, what: Literal["cancelled", "concluded"]) -> None:
        if what == "cancelled" or (self.thinking and self.order is None):
            self.order = what
            self.news.set()

    def answer(self) -> None:
        self.thinking = False
        if self.order == "concluded":
            self.order = None
            self.news.clear()


@dataclass(slots=True)
class SimulatedEngine:
    """`tokens_per_second` is one chain's speed; chains beyond `slots` wait for their turn.

    Chains write the same answer in one of the `spellings` each, by turns; `{}` is the answer.
    With `loops` no chain is meant to be greedy: one that is repeats itself until its cap, as the
    makers of many reasoning models warn. `laws` of None are those of workers/simulated/law.py.
    """

    seed: int = 0
    tokens_per_second: float = 1000.0
    slots: int = 64
    max_model_len: int = 4096
    model: str = "simulated"
    replica: str = "simulated"
    spellings: tuple[str, ...] = ("{}",)
    loops: bool = False
    laws: Mapping[str, Law] | None = None
    _free: asyncio.Semaphore = field(init=False)
    _died: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _orders: list[dict[tuple[str, int], _Orders]] = field(init=False, default_factory=list)
    _running: int = field(init=False, default=0)
    _vocabulary: WordVocabulary = field(init=False, default_factory=WordVocabulary)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)

    def kill(self) -> None:
        """Die: running chains are lost at once, later ones too, until `revive`."""
        self._died.set()

    def revive(self) -> None:
        self._died = asyncio.Event()

    async def info(self) -> EngineInfo:
        room = self.max_model_len
        return EngineInfo(
            self.model, "s1", room, 1.0, self.slots, seeds=True, greedy=not self.loops
        )

    async def load(self) -> Load:
        waiting = max(0, self._running - self.slots)
        return Load(self._running - waiting, waiting, self._running / self.slots)

    async def check(self) -> None:
        if self._died.is_set():
            raise RuntimeError("the simulated engine was killed")

    def stats(self) -> Mapping[str, int]:
        return {}

    async def cancel(self, query: str, chain: int | None = None) -> None:
        self._tell(query, chain, "cancelled")

    async def conclude(self, query: str, chain: int) -> None:
        self._tell(query, chain, "concluded")

    def _tell(
        self, query: str, chain: int | None, order: Literal["cancelled", "concluded"]
    ) -> None:
        for request in self._orders:
            for (of, number), orders in request.items():
                if of == query and chain in (None, number):
                    orders.tell(order)

    async def close(self) -> None:
        self.kill()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        shape_of(request)  # refuses what cannot be
        prompt_tokens = sum(len(text.split()) + MESSAGE_TOKENS for _, text, *_ in request.messages)
        room = self.max_model_len - prompt_tokens - request.budget.answer_tokens
        if room < 0:
            raise too_long(prompt_tokens, request.budget.answer_tokens, self.max_model_len)
        ours = {(request.query, number): _Orders() for number in request.chains}
        self._orders.append(ours)
        try:
            yield Accepted(prompt_tokens)
            runs = [
                partial(self._run, request, number, room, orders)
                for (_, number), orders in ours.items()
            ]
            async with aclosing(side_by_side(runs)) as events:
                async for event in events:
                    yield event
        finally:
            # By identity: requests of one id may run at once.
            self._orders = [orders for orders in self._orders if orders is not ours]

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        if request.purpose != "complete":
            yield self._vocabulary.answer(request)
            return

        async def generate(tokens: int) -> bool:
            return (await self._generate(_Orders(), tokens))[1] is None

        self._running += 1
        try:
            async with self._free:
                async for event in completion(request, self.max_model_len, generate):
                    yield event
        finally:
            self._running -= 1

    async def _run(
        self, request: SampleRequest, number: int, room: int, orders: _Orders, emit: Emit
    ) -> None:
        self._running += 1
        try:
            async with self._free:
                course = course_of(request, number, room, self.seed, self.laws, loops=self.loops)
                emit(await self._live(request, number, course, orders, emit))
        finally:
            self._running -= 1

    async def _live(
        self,
        request: SampleRequest,
        number: int,
        course: SimulatedCourse,
        orders: _Orders,
        emit: Emit,
    ) -> Sample:
        """Think from mark to mark, and answer; a request that comes meanwhile is obeyed at once."""
        was = request.checkpoint(number) or Checkpoint()
        at, cause, probe_tokens = course.begin, course.cause, was.probe_tokens
        order = len(was.thinking)
        if was.begun:
            at, cause = order, was.stop_cause or cause
        if was.conclude or request.conclude:
            orders.tell("concluded")

        def tell(ended: StopCause | None = None) -> None:
            nonlocal order
            if request.progress and (ended or at > order):
                news = Checkpoint(
                    thinking=(0,) * (at - order),
                    extensions=course.extensions_by(at),
                    stop_cause=ended,
                    probe_tokens=probe_tokens,
                )
                emit(ChainProgress(number, news))
                order = at

        marks = [] if was.stop_cause else marks_of(request, number, course)
        for mark, trial, shown in marks:
            if was.begun and mark <= len(was.thinking):
                continue
            if mark > at:
                tell()
            spent, ended = await self._generate(orders, mark - at)
            at += spent
            if ended == "concluded":
                cause = "early_exit"
                break
            if ended is not None:
                return _ended(number, ended, at - course.begin, probe_tokens)
            if trial:
                probe = _trial(number, course.fate, at, trial)
                probe_tokens += probe.tokens
                emit(probe)
            elif shown:
                emit(Delta(number, "thinking", f"thought {at} ", 1))
        orders.answer()
        tell(cause)
        sample = self._sample(request, number, course, at, cause, probe_tokens)
        spent, ended = await self._generate(orders, sample.answer_tokens)
        if ended is not None:
            assert ended != "concluded", "an answer is not to be concluded"
            return _ended(number, ended, at - course.begin + spent, probe_tokens)
        if request.stream == number and sample.answer_tokens:
            emit(Delta(number, "answer", sample.text, sample.answer_tokens))
        return sample

    async def _generate(
        self, orders: _Orders, tokens: int
    ) -> tuple[int, Literal["lost", "cancelled", "concluded"] | None]:
        """Let the time of so many tokens pass: how many there were, and what ended them."""
        loop, died = asyncio.get_running_loop(), self._died
        began = loop.time()
        waits = [asyncio.ensure_future(event.wait()) for event in (died, orders.news)]
        try:
            done, _ = await asyncio.wait(
                waits,
                timeout=max(0, tokens) / self.tokens_per_second,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            return tokens, None
        spent = int((loop.time() - began) * self.tokens_per_second + 1e-6)
        return min(tokens, spent), "lost" if died.is_set() else orders.order

    def _sample(
        self,
        request: SampleRequest,
        number: int,
        course: SimulatedCourse,
        at: int,
        cause: StopCause,
        probe_tokens: int,
    ) -> Sample:
        found = None if cause in UNANSWERED else course.fate.answer_at(at)
        spelling = self.spellings[number % len(self.spellings)]
        reply = reply_of(request, found, course.fate.probability_at(at), spelling)
        budget = request.budget
        left = budget.answer_tokens if budget.max_tokens is None else budget.max_tokens - at
        answer_tokens = 0 if found is None else min(ANSWER_TOKENS, max(0, left))
        # A stop text ends the answer, so that the rest is not generated.
        is_whole = reply.shown < 1 or answer_tokens == ANSWER_TOKENS
        answer_tokens = min(answer_tokens, math.ceil(reply.shown * ANSWER_TOKENS))
        generated = max(0, at - course.begin) + answer_tokens
        return Sample(
            chain=number,
            thinking=thoughts(course.fate, at),
            text=reply.text,
            answer=reply.answer,
            stop_cause=cause,
            thinking_tokens=at,
            answer_tokens=answer_tokens,
            extensions=course.extensions_by(at),
            generated_tokens=generated,
            complete=found is not None and is_whole,
            stop_text=reply.stop_text,
            seconds=generated / self.tokens_per_second,
            replica=self.replica,
            confidence=course.confidence,
            probe_tokens=probe_tokens,
            tool_calls=reply.calls,
            logprobs=reply.logprobs,
        )


def _trial(number: int, fate_: Fate, at: int, tokens: int) -> Probe:
    """A trial that is too short for an answer has none."""
    answer = fate_.answer_at(at) if tokens == ANSWER_TOKENS else None
    text = "" if answer is None else f"Final Answer: {answer}"
    return Probe(number, at, answer, fate_.probability_at(at), text, tokens)


def _ended(
    number: int, cause: Literal["lost", "cancelled"], generated: int, probe_tokens: int
) -> Sample:
    return replace(lost(number, cause), generated_tokens=generated, probe_tokens=probe_tokens)
