"""An engine out of a core: chains of many queries, forced, watched, probed, and counted."""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from workers.answer import extract
from workers.confidence import ConfidenceMeter
from workers.core import Core, CoreDied, Sampling
from workers.drivers import choose
from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.forcing import UNANSWERED, Chain
from workers.format import TokenFormat
from workers.harness import chain_for
from workers.probing import ProbePoints
from workers.prompt import Prompter
from workers.running import LiveText, Running
from workers.sample import Accepted, Sample
from workers.trial import Trials

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """`slots` is how many chains the core runs at once; `driver` one of workers/drivers.py."""

    model: str
    temperature: float = 1.0
    slots: int = 64
    driver: str = "session"
    replica: str = ""


class ChainEngine:
    """Runs the chains of every request side by side on one core."""

    def __init__(self, core: Core, format_: TokenFormat, options: ChainOptions) -> None:
        self.core, self.format, self.options = core, format_, options
        self.prompter = Prompter(core.tokenizer, format_.strings)
        self._names = itertools.count()
        self._running: dict[str, dict[int, Running]] = {}
        self._count = 0

    async def info(self) -> EngineInfo:
        options = self.options
        return EngineInfo(
            options.model,
            self.format.strings.name,
            self.core.max_model_len,
            options.temperature,
            options.slots,
        )

    async def load(self) -> Load:
        slots = self.options.slots
        waiting = max(0, self._count - slots)
        return Load(self._count - waiting, waiting, self._count / slots)

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for number, running in list(self._running.get(query, {}).items()):
            if chain is None or number == chain:
                await running.end(self.core, "cancelled")

    async def conclude(self, query: str, chain: int) -> None:
        if running := self._running.get(query, {}).get(chain):
            await running.end(self.core, "conclude")

    async def check(self) -> None:
        await self.core.check()

    async def close(self) -> None:
        await self.core.close()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        prompt = self.prompter.tokens(request.messages, request.suffix)
        room = self._room(len(prompt), request.forcing.answer_tokens)
        chains = [self._chain(request, room) for _ in request.chains]
        yield Accepted(len(prompt))
        events: asyncio.Queue[Event] = asyncio.Queue()
        ours = self._running.setdefault(request.query, {})
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number, chain in zip(request.chains, chains, strict=True):
                ours[number] = running = self._start(request, number, chain, prompt)
                tasks.append(group.create_task(self._run(running, request, events.put_nowait)))
            unfinished = len(tasks)
            try:
                while unfinished:
                    event = await events.get()
                    unfinished -= isinstance(event, Sample)
                    yield event
            except GeneratorExit:
                return  # the caller has closed us: a TaskGroup would make an error of it
            finally:
                for task in tasks:
                    task.cancel()
                for number in request.chains:
                    ours.pop(number, None)
                if not ours:
                    self._running.pop(request.query, None)

    def _room(self, prompt_tokens: int, answer_tokens: int) -> int:
        """Thinking tokens that fit between the prompt and the answer's reserve."""
        room = self.core.max_model_len - prompt_tokens - self.format.most_closing - answer_tokens
        if room < 0:
            raise Refused(
                "messages",
                f"the prompt is {prompt_tokens} tokens long; with the answer's reserve of "
                f"{answer_tokens} tokens it does not fit into the context of "
                f"{self.core.max_model_len} tokens",
                "context_length_exceeded",
            )
        return room

    def _chain(self, request: SampleRequest, room: int) -> Chain:
        forcing, before = request.forcing, request.resume
        try:
            if before is None:
                return chain_for(self.format, forcing, room)
            if forcing.compat:
                raise ValueError("harness_compat and readme_compat cannot extend a finished chain")
            known = self.core.vocabulary
            if unknown := [token for token in before.thinking_ids if not 0 <= token < known]:
                raise ValueError(f"resume holds token {unknown[0]}, the model has {known} tokens")
            return Chain.resume(
                self.format,
                forcing,
                room=room,
                thinking=before.thinking_ids,
                stop_cause=before.stop_cause,
                extensions=before.extensions,
            )
        except ValueError as error:
            raise Refused(str(error).split()[0], str(error)) from None

    def _start(
        self, request: SampleRequest, number: int, chain: Chain, prompt: list[int]
    ) -> Running:
        signals = request.signals
        sampling = Sampling(
            temperature=request.temperature,
            live=request.stream == number or bool(request.probing or signals),
            logprobs=signals.top if signals else None,
        )
        names = (f"{request.query}/{number}/{call}" for call in self._names)
        return Running(chain, number, prompt, sampling, names.__next__)

    async def _run(
        self, running: Running, request: SampleRequest, emit: Callable[[Event], None]
    ) -> None:
        began, chain = time.monotonic(), running.chain
        before = len(request.resume.thinking_ids) if request.resume else 0
        trials = None
        if request.stream == running.number:
            running.live = LiveText(self.core.tokenizer, running.number, emit)
        if request.signals:
            running.meter = ConfidenceMeter(request.signals)
        if request.probing:
            trials = Trials(running, self.core, request.probing, emit)
            running.points = ProbePoints(request.probing, self.format, begun=before)
            running.probe = trials.start
        self._count += 1
        try:
            running.begin()
            await choose(self.options.driver, request, self.format)(self.core, running)
        except CoreDied as error:
            log.warning("query %s: chain %d is lost: %s", request.query, running.number, error)
            chain.abandon("lost")
        finally:
            self._count -= 1
            if running.live:
                running.live.flush()
            if trials:
                await trials.end()
        emit(
            self._sample(running, before, time.monotonic() - began, trials.tokens if trials else 0)
        )

    def _sample(self, running: Running, before: int, seconds: float, probe_tokens: int) -> Sample:
        chain, meter = running.chain, running.meter
        text = self.format.decode([*chain.forced_answer, *chain.answer]).strip()
        forced_thinking = chain.forced_tokens - len(chain.closing)
        reasoning = len(chain.thinking) - forced_thinking - before
        assert chain.stop_cause is not None, "a driver left a chain unfinished"
        return Sample(
            chain=running.number,
            thinking=self.format.decode(chain.thinking),
            text=text,
            answer=None if chain.stop_cause in UNANSWERED else extract(text),
            stop_cause=chain.stop_cause,
            thinking_tokens=len(chain.thinking),
            answer_tokens=len(chain.answer),
            extensions=chain.extensions_used,
            generated_tokens=reasoning + len(chain.answer) + chain.discarded_tokens,
            forced_tokens=chain.forced_tokens,
            discarded_tokens=chain.discarded_tokens,
            complete=chain.reached_end_of_turn,
            thinking_ids=tuple(chain.thinking),
            seconds=seconds,
            replica=self.options.replica or str(os.getpid()),
            violations=chain.violations(),
            confidence=meter.read() if meter else None,
            probe_tokens=probe_tokens,
        )
