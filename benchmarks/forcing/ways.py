"""The ways to force a budget that are compared, and what their work is counted in."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import psutil

from policies.plan import Budget
from policies.sampling import SamplingParams
from workers.drivers.chain_engine import ChainEngine
from workers.drivers.core import GenerateOptions
from workers.engine import SampleRequest
from workers.forcing.chain import GenerateCall
from workers.forcing.harness import chain_for
from workers.sample import Sample

LETTERS = "abcdefghij0123456789+-*= "
DRIVERS = ("session", "reprompt")

Work = Callable[[Sequence["Job"], int], Awaitable[int]]


class Job(NamedTuple):
    text: str
    budget: Budget


class Speed(NamedTuple):
    """Tokens of the replies, by CPU-second of all processes and by second of the clock."""

    per_cpu_second: float
    per_second: float


class Bench:
    """One engine, and every way to run chains on it."""

    def __init__(self, plain: ChainEngine) -> None:
        self.engines = {
            name: ChainEngine(plain.core, plain.format, replace(plain.options, driver=name))
            for name in DRIVERS
        }
        self.core, self.prompter = plain.core, plain.prompter
        self.names = (f"bench-{number}" for number in itertools.count())
        self.ways: dict[str, Work] = {
            "plain": self.plain,
            "barrier": self.barrier,
            "one batch": self.one_batch,
        }
        for name in DRIVERS:
            self.ways[name] = self._driver(name)

    async def plain(self, jobs: Sequence[Job], streams: int) -> int:
        """As many tokens as the budget allows, in one call and unforced, and their text."""

        async def one(job: Job) -> int:
            closing = len(self.engines["session"].format.end_on_cut)
            most = job.budget.max_thinking_tokens + closing + job.budget.answer_tokens
            call = GenerateCall(most, 0, frozenset())
            prompt = self.prompter.tokens((("user", job.text),))
            sampling = GenerateOptions(SamplingParams(temperature=0), ignore_end_of_turn=True)
            tokens: list[int] = []
            async for piece in self.core.generate(next(self.names), prompt, call, sampling):
                tokens += piece.tokens
            self.engines["session"].format.decode(tokens)
            return len(tokens)

        return await at_once(jobs, streams, one)

    async def barrier(self, jobs: Sequence[Job], streams: int) -> int:
        """One batch after another, each of as many chains as there are streams."""
        batches = [jobs[at : at + streams] for at in range(0, len(jobs), streams)]
        return sum([await self.one_batch(batch, streams) for batch in batches])

    async def one_batch(self, jobs: Sequence[Job], streams: int) -> int:
        """Rounds over all the jobs; the paper's own semantics."""
        engine, sampling = self.engines["session"], GenerateOptions(SamplingParams(temperature=0))
        prompts = [self.prompter.tokens((("user", job.text),)) for job in jobs]
        chains = [
            chain_for(engine.format, replace(job.budget, harness_compat=True), 10**4)
            for job in jobs
        ]
        gate = asyncio.Semaphore(streams)

        async def call(number: int, wanted: GenerateCall) -> None:
            chain = chains[number]
            async with gate:
                pieces = self.core.generate(
                    next(self.names), chain.prompt(prompts[number]), wanted, sampling
                )
                async for piece in pieces:
                    chain.feed(piece.tokens, piece.finish)

        while calls := [(n, c) for n, chain in enumerate(chains) if (c := chain.next_call())]:
            phases = [chain.phase for chain in chains]
            thinking = [(n, c) for n, c in calls if phases[n] == "thinking"]
            await asyncio.gather(*(call(*each) for each in thinking or calls))
        return sum(len(chain.tokens) for chain in chains)

    def _driver(self, name: str) -> Work:
        async def work(jobs: Sequence[Job], streams: int) -> int:
            async def one(job: Job) -> int:
                sample = await ask(self.engines[name], next(self.names), job)
                return sample.thinking_tokens + sample.answer_tokens + closing_tokens(sample)

            return await at_once(jobs, streams, one)

        return work

    async def time(self, way: str, jobs: Sequence[Job], streams: int) -> Speed:
        cpu, began = cpu_seconds(), time.monotonic()
        tokens = await self.ways[way](jobs, streams)
        seconds = time.monotonic() - began
        return Speed(tokens / max(cpu_seconds() - cpu, 1e-3), tokens / seconds)


async def ask(engine: ChainEngine, name: str, job: Job) -> Sample:
    request = SampleRequest(name, (("user", job.text),), (0,), job.budget, SamplingParams(0.0))
    *_, last = [event async for event in engine.sample(request)]
    assert isinstance(last, Sample)
    return last


async def at_once(jobs: Sequence[Job], streams: int, one: Callable[[Job], Awaitable[int]]) -> int:
    gate = asyncio.Semaphore(streams)

    async def gated(job: Job) -> int:
        async with gate:
            return await one(job)

    return sum(await asyncio.gather(*(gated(job) for job in jobs)))


def closing_tokens(sample: Sample) -> int:
    """The delimiters that were appended are part of the reply, as plain generation's tokens are."""
    return sample.forced_tokens - sample.extensions


def processes() -> list[psutil.Process]:
    ours = psutil.Process()
    return [ours, *ours.children(recursive=True)]


def cpu_seconds() -> float:
    times = [process.cpu_times() for process in processes()]
    return sum(each.user + each.system for each in times)


def resident_mib() -> float:
    return sum(process.memory_info().rss for process in processes()) / 2**20


def fresh(rng: Random, letters: int, count: int, budget: Callable[[], Budget]) -> list[Job]:
    texts = ["".join(rng.choices(LETTERS, k=letters)) for _ in range(count)]
    return [Job(text, budget()) for text in texts]


def mixed(rng: Random) -> Budget:
    cap = rng.randint(16, 512)
    return Budget(cap, extensions=rng.randint(0, 4), answer_tokens=16)


def small(rng: Random) -> Budget:
    cap = rng.randint(0, 48)
    least = rng.randint(0, cap) if rng.random() < 0.3 else 0
    extensions = 0 if least == cap else rng.randint(0, 3)
    return Budget(cap, least, extensions, answer_tokens=rng.randint(1, 16))
