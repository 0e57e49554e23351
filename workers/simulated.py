"""An engine with a known law instead of a model: for tests, experiments, and a first look.

Accuracy, lengths and speed are given per class of question (workers/simulated_law.py). Seeded;
keeps time by the running loop's clock, real or virtual; dies on command. Trial answers cost tokens
but no time, as on a branch beside the chain; a paragraph is so many tokens; a suffix says nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from workers.engine import EngineInfo, Event, Load, Probing, Refused, SampleRequest
from workers.forcing import UNANSWERED, StopCause
from workers.sample import Accepted, Confidence, Delta, Probe, Sample, lost
from workers.simulated_law import ANSWER_TOKENS, PARAGRAPH_TOKENS, Fate, fate

STREAM_STEPS = 4
Emit = Callable[[Event], None]


@dataclass(slots=True)
class _Orders:
    """What a running chain is told from outside; one that answers has no more to conclude."""

    heard: asyncio.Event = field(default_factory=asyncio.Event)
    told: Literal["cancelled", "concluded"] | None = None
    thinking: bool = True

    def tell(self, what: Literal["cancelled", "concluded"]) -> None:
        if what == "cancelled" or (self.thinking and self.told is None):
            self.told = what
            self.heard.set()

    def answer(self) -> None:
        self.thinking = False
        if self.told == "concluded":
            self.told = None
            self.heard.clear()


class Course(NamedTuple):
    """What a chain will do if nobody intervenes, from its `begin` to its `end` in tokens."""

    fate: Fate
    begin: int
    end: int
    cause: StopCause
    confidence: Confidence | None

    def trials(self, probing: Probing) -> list[int]:
        """After how many tokens to branch off trial answers."""
        points = set(probing.at)
        for step in (probing.every, PARAGRAPH_TOKENS if probing.paragraphs else None):
            points |= set(range(step, self.end, step)) if step else set()
        if probing.extensions:
            points |= {run.end for run in self.fate.passes[:-1]}
        return sorted(at for at in points if self.begin < at < self.end)[: probing.most]

    def extensions_by(self, tokens: int) -> int:
        return sum(run.end < tokens for run in self.fate.passes[:-1])


@dataclass(slots=True)
class SimulatedEngine:
    """`tokens_per_second` is one chain's speed; chains beyond `slots` wait for their turn."""

    seed: int = 0
    tokens_per_second: float = 1000.0
    slots: int = 64
    max_model_len: int = 4096
    model: str = "simulated"
    replica: str = "simulated"
    _free: asyncio.Semaphore = field(init=False)
    _died: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _orders: dict[tuple[str, int], _Orders] = field(init=False, default_factory=dict)
    _running: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)

    def kill(self) -> None:
        """Die: running chains are lost at once, later ones too, until `revive`."""
        self._died.set()

    def revive(self) -> None:
        self._died = asyncio.Event()

    async def info(self) -> EngineInfo:
        return EngineInfo(self.model, "s1", self.max_model_len, 1.0, self.slots)

    async def load(self) -> Load:
        waiting = max(0, self._running - self.slots)
        return Load(self._running - waiting, waiting, self._running / self.slots)

    async def check(self) -> None:
        if self._died.is_set():
            raise RuntimeError("the simulated engine was killed")

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for (of, number), orders in self._orders.items():
            if of == query and chain in (None, number):
                orders.tell("cancelled")

    async def conclude(self, query: str, chain: int) -> None:
        if orders := self._orders.get((query, chain)):
            orders.tell("concluded")

    async def close(self) -> None:
        self.kill()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        prompt_tokens = sum(len(text.split()) + 4 for _, text in request.messages)
        room = self.max_model_len - prompt_tokens - request.forcing.answer_tokens
        if room < 0:
            raise Refused(
                "messages",
                f"the prompt of {prompt_tokens} tokens does not fit into the context of "
                f"{self.max_model_len} tokens",
                "context_length_exceeded",
            )
        yield Accepted(prompt_tokens)
        ours = {number: _Orders() for number in request.chains}
        self._orders.update({(request.query, number): ours[number] for number in ours})
        events: asyncio.Queue[Event] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._run(request, number, room, ours[number], events.put_nowait))
                for number in ours
            ]
            try:
                for _ in tasks:
                    while not isinstance(event := await events.get(), Sample):
                        yield event
                    yield event
            except GeneratorExit:
                return  # the caller has closed us: a TaskGroup would make an error of it
            finally:
                for task in tasks:
                    task.cancel()
                for number in ours:
                    self._orders.pop((request.query, number), None)

    async def _run(
        self, request: SampleRequest, number: int, room: int, orders: _Orders, emit: Emit
    ) -> None:
        self._running += 1
        try:
            async with self._free:
                course = _course(request, number, room, self.seed)
                emit(await self._live(request, number, course, orders, emit))
        finally:
            self._running -= 1

    async def _live(
        self, request: SampleRequest, number: int, course: Course, orders: _Orders, emit: Emit
    ) -> Sample:
        """Think from mark to mark, and answer; whatever is told meanwhile is obeyed at once."""
        at, cause, probe_tokens = course.begin, course.cause, 0
        for mark, trial in _marks(request, number, course):
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
            elif request.stream == number:
                emit(Delta(number, "thinking", f"thought {at} ", 1))
        orders.answer()
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
        waits = [asyncio.ensure_future(event.wait()) for event in (died, orders.heard)]
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
        return min(tokens, spent), "lost" if died.is_set() else orders.told

    def _sample(
        self,
        request: SampleRequest,
        number: int,
        course: Course,
        at: int,
        cause: StopCause,
        probe_tokens: int,
    ) -> Sample:
        answer = None if cause in UNANSWERED else course.fate.answer_at(at)
        reserve = request.forcing.answer_tokens
        answer_tokens = 0 if answer is None else min(ANSWER_TOKENS, reserve)
        generated = max(0, at - course.begin) + answer_tokens
        return Sample(
            chain=number,
            thinking=f"simulated thinking of {at} tokens",
            text="" if answer is None else f"Final Answer: {answer}",
            answer=answer,
            stop_cause=cause,
            thinking_tokens=at,
            answer_tokens=answer_tokens,
            extensions=course.extensions_by(at),
            generated_tokens=generated,
            complete=answer_tokens == ANSWER_TOKENS,
            seconds=generated / self.tokens_per_second,
            replica=self.replica,
            confidence=course.confidence,
            probe_tokens=probe_tokens,
        )


def _course(request: SampleRequest, number: int, room: int, seed: int) -> Course:
    forcing, signals = request.forcing, request.signals
    greedy = request.temperature == 0
    drawn = fate(
        request.messages[-1][1],
        "greedy" if greedy else f"{seed}-{request.query}-{number}",
        extensions=forcing.extensions,
        least=forcing.min_thinking_tokens,
        greedy=greedy,
    )
    cause: StopCause = "extensions" if forcing.extensions else "natural"
    end, cap = drawn.end, min(forcing.max_thinking_tokens, room)
    if end > cap:
        end, cause = cap, "max_thinking" if cap == forcing.max_thinking_tokens else "context"
    if cause == "max_thinking" and not forcing.answer_when_cut:
        cause = "rejected"
    sure = drawn.confidence_at(end) if signals else None
    if sure and signals and _falls_below(sure, signals.end_below) and drawn.lowest_at() < end:
        end, cause = drawn.lowest_at(), "unsure"
    begin = request.resume.thinking_tokens if request.resume else 0
    return Course(drawn, begin, max(begin, end), cause, sure)


def _falls_below(confidence: Confidence, least: float | None) -> bool:
    return least is not None and confidence.lowest is not None and confidence.lowest < least


def _marks(request: SampleRequest, number: int, course: Course) -> list[tuple[int, int]]:
    """Where something is to be told, in order; beside it the length of the trial answer, if any."""
    marks = [(course.end, 0)]
    if request.stream == number:
        quarter = (course.end - course.begin) / STREAM_STEPS
        marks = [(round(course.begin + quarter * (n + 1)), 0) for n in range(STREAM_STEPS)]
    if request.probing:
        trial = min(ANSWER_TOKENS, request.probing.answer_tokens)
        marks += [(at, trial) for at in course.trials(request.probing)]
    return sorted(marks)


def _trial(number: int, fate_: Fate, at: int, tokens: int) -> Probe:
    """A trial that is too short for an answer has none."""
    answer = fate_.answer_at(at) if tokens == ANSWER_TOKENS else None
    text = "" if answer is None else f"Final Answer: {answer}"
    return Probe(number, at, answer, text, fate_.probability_at(at), tokens)


def _ended(
    number: int, cause: Literal["lost", "cancelled"], generated: int, probe_tokens: int
) -> Sample:
    return replace(lost(number, cause), generated_tokens=generated, probe_tokens=probe_tokens)
