"""An engine with a known law instead of a model: for tests, experiments, and a first look.

Accuracy, lengths and speed are given per class of question, so what a policy or a curve finds can
be held against the truth. Seeded; keeps time by the running loop's clock, real or virtual; dies on
command. The right answer to a question is a digit derived from its text (`reference`).
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.forcing import StopCause
from workers.sample import Accepted, Delta, Sample, lost

ANSWER_TOKENS = 6
STREAM_STEPS = 4


@dataclass(frozen=True, slots=True)
class Law:
    """How chains turn out on one class of questions.

    Greedy chains: right with `accuracy` after one pass; every Wait repairs a wrong chain with
    chance `repair` and breaks a right one with chance `corruption`. Sampled chains: a share
    `solvable` of the questions has the right answer as its mode; a chain gives the mode with chance
    `mode_mass`, else any other digit. A chain that is cut before its end guesses.
    """

    accuracy: float
    repair: float
    corruption: float
    solvable: float
    mode_mass: float
    thinking_tokens: int
    extension_tokens: int

    def accuracy_after(self, extensions: int) -> float:
        """Of a greedy chain with this many Waits and no cut."""
        accuracy = self.accuracy
        for _ in range(extensions):
            accuracy += (1 - accuracy) * self.repair - accuracy * self.corruption
        return accuracy


LAWS: Mapping[str, Law] = {
    "easy": Law(0.96, 0.70, 0.00, 1.00, 0.95, 30, 40),
    "medium": Law(0.55, 0.65, 0.00, 0.95, 0.70, 60, 60),
    "hard": Law(0.30, 0.35, 0.02, 0.70, 0.40, 90, 80),
    "hopeless": Law(0.10, 0.02, 0.02, 0.12, 0.20, 150, 100),
}


def reference(question: str) -> str:
    """The right answer: one digit."""
    return str(_hash(question, "answer") % 10)


def law_of(question: str) -> str:
    """The class that the question names, else one drawn by its text."""
    named = [name for name in LAWS if name in question]
    return named[0] if named else list(LAWS)[_hash(question, "law") % len(LAWS)]


def questions(count: int, seed: int = 0) -> list[dict[str, str]]:
    """A question set of mixed classes for this engine."""
    rng = Random(seed)
    names = [rng.choice(list(LAWS)) for _ in range(count)]
    texts = [f"{name} question {seed}-{number}" for number, name in enumerate(names)]
    return [
        {"id": text, "class": name, "question": text, "answer": reference(text)}
        for name, text in zip(names, texts, strict=True)
    ]


@dataclass(slots=True)
class SimulatedEngine:
    """`tokens_per_second` is one chain's speed; chains beyond `slots` wait for their turn."""

    seed: int = 0
    tokens_per_second: float = 1000.0
    slots: int = 64
    max_model_len: int = 4096
    model: str = "simulated"
    _free: asyncio.Semaphore = field(init=False)
    _died: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _cancelled: dict[str, asyncio.Event] = field(init=False, default_factory=dict)
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

    async def cancel(self, query: str) -> None:
        if query in self._cancelled:
            self._cancelled[query].set()

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
        self._cancelled[request.query] = asyncio.Event()
        events: asyncio.Queue[Delta | Sample] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._run(request, number, room, events))
                for number in request.chains
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
                self._cancelled.pop(request.query, None)

    async def _run(
        self,
        request: SampleRequest,
        number: int,
        room: int,
        events: "asyncio.Queue[Delta | Sample]",
    ) -> None:
        sample = self._outcome(request, number, room)
        streams = request.stream == number
        self._running += 1
        try:
            async with self._free:
                seconds = sample.generated_tokens / self.tokens_per_second
                for step in range(STREAM_STEPS):
                    ended = await self._lives_through(request.query, seconds / STREAM_STEPS)
                    if ended is not None:
                        spent = sample.generated_tokens * step // STREAM_STEPS
                        gone = replace(lost(number, ended), generated_tokens=spent)
                        events.put_nowait(gone)
                        return
                    if streams:
                        events.put_nowait(Delta(number, "thinking", f"step {step} ", 1))
                if streams:
                    events.put_nowait(Delta(number, "answer", sample.text, ANSWER_TOKENS))
                events.put_nowait(sample)
        finally:
            self._running -= 1

    async def _lives_through(self, query: str, seconds: float) -> StopCause | None:
        """Let time pass; what ended the chain meanwhile, if anything did."""
        died, cancelled = self._died, self._cancelled[query]
        waits = [asyncio.ensure_future(end.wait()) for end in (died, cancelled)]
        try:
            done, _ = await asyncio.wait(
                waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            return None
        return "lost" if died.is_set() else "cancelled"

    def _outcome(self, request: SampleRequest, number: int, room: int) -> Sample:
        question = request.messages[-1][1]
        law, truth = LAWS[law_of(question)], reference(question)
        greedy = request.temperature == 0
        path = "greedy" if greedy else f"{self.seed}-{request.query}-{number}"
        rng = Random(_hash(question, path))
        answer = _first_answer(law, truth, question, rng, greedy)
        forcing = request.forcing
        tokens = max(1, round(law.thinking_tokens * rng.uniform(0.7, 1.3)))
        for _ in range(forcing.extensions):
            tokens += max(1, round(law.extension_tokens * rng.uniform(0.7, 1.3)))
            answer = _after_wait(law, truth, answer, rng)
        tokens = max(tokens, forcing.min_thinking_tokens)
        cap = min(forcing.max_thinking_tokens, room)
        cause: StopCause = "extensions" if forcing.extensions else "natural"
        if tokens > cap:
            cause = "max_thinking" if cap == forcing.max_thinking_tokens else "context"
            tokens, answer = cap, str(rng.randrange(10))
        before = request.resume.thinking_tokens if request.resume else 0
        generated = max(0, tokens - before) + ANSWER_TOKENS
        return Sample(
            chain=number,
            thinking=f"simulated thinking of {tokens} tokens",
            text=f"Final Answer: {answer}",
            answer=answer,
            stop_cause=cause,
            thinking_tokens=tokens,
            answer_tokens=ANSWER_TOKENS,
            extensions=forcing.extensions if cause == "extensions" else 0,
            generated_tokens=generated,
            seconds=generated / self.tokens_per_second,
            replica="simulated",
        )


def _first_answer(law: Law, truth: str, question: str, rng: Random, greedy: bool) -> str:
    if greedy:
        return truth if rng.random() < law.accuracy else _other(truth, rng)
    per_question = Random(_hash(question, "mode"))
    solvable = per_question.random() < law.solvable
    mode = truth if solvable else _other(truth, per_question)
    return mode if rng.random() < law.mode_mass else _other(mode, rng)


def _after_wait(law: Law, truth: str, answer: str, rng: Random) -> str:
    if answer == truth:
        return _other(truth, rng) if rng.random() < law.corruption else truth
    return truth if rng.random() < law.repair else answer


def _other(digit: str, rng: Random) -> str:
    return str((int(digit) + rng.randint(1, 9)) % 10)


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest())
