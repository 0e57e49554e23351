"""An engine out of a core: chains of many queries, forced, watched, probed, and counted."""

import itertools
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from workers.answers.answer_shape import AnswerShape, shape_of
from workers.completion import CompletionEvent, CompletionRequest
from workers.context_length import too_long
from workers.drivers.begin_chain import begin_chain
from workers.drivers.completing import complete
from workers.drivers.confidence import ConfidenceMeter
from workers.drivers.core import Core, CoreDied, GenerateOptions
from workers.drivers.driver import choose, reports_progress
from workers.drivers.finished_answer import read_answer
from workers.drivers.live_text import LiveText
from workers.drivers.running import Running, RunningOptions, Watchers
from workers.drivers.token_text import scored, whole_letters
from workers.drivers.tokenizing import tokenized
from workers.drivers.trial import Trials
from workers.engine import EngineEvent, EngineInfo, Load, Refused, SampleRequest
from workers.forcing.chain import UNANSWERED, Chain
from workers.forcing.checkpoint import Checkpoint
from workers.forcing.probing import ProbePoints
from workers.format import TokenFormat
from workers.prompt import Prompter
from workers.sample import Accepted, ChainProgress, Sample
from workers.side_by_side import Emit, side_by_side

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """`slots`: how many chains the core runs at once. `driver`: one of `drivers.driver.DRIVERS`."""

    model: str
    temperature: float = 1.0
    #: The recommended values of sampling that are in force, in words.
    sampling: str = ""
    slots: int = 64
    driver: str = "session"
    replica: str = ""


class ChainEngine:
    """Runs the chains of every request side by side on one core."""

    def __init__(self, core: Core, format_: TokenFormat, options: ChainOptions) -> None:
        self.core, self.format, self.options = core, format_, options
        self.prompter = Prompter(core.tokenizer, format_.strings)
        self._names = itertools.count()
        self._running: dict[str, list[dict[int, Running]]] = {}
        self._count = 0

    async def info(self) -> EngineInfo:
        options = self.options
        return EngineInfo(
            options.model,
            self.format.strings.name,
            self.core.max_model_len,
            options.temperature,
            options.slots,
            self.core.seeds,
            self.format.strings.greedy,
            options.sampling,
        )

    async def load(self) -> Load:
        slots = self.options.slots
        waiting = max(0, self._count - slots)
        return Load(self._count - waiting, waiting, self._count / slots)

    def stats(self) -> Mapping[str, int]:
        return {}

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for running in self._named(query, chain):
            await running.end(self.core, "cancelled")

    async def conclude(self, query: str, chain: int) -> None:
        for running in self._named(query, chain):
            await running.end(self.core, "conclude")

    async def check(self) -> None:
        await self.core.check()

    async def close(self) -> None:
        await self.core.close()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        shape = self._shape(request)
        prompt = self.prompter.tokens(request.messages, request.suffix, shape.tools)
        room = self._room(len(prompt), request.budget.answer_tokens)
        chains = {
            number: begin_chain(self.core, self.format, request, number, room, shape)
            for number in request.chains
        }
        ours = {
            number: self._start(request, number, chains[number], prompt, shape) for number in chains
        }
        # Before anybody knows of them: they can be cancelled from now on.
        self._running.setdefault(request.query, []).append(ours)
        try:
            yield Accepted(len(prompt))
            runs = [partial(self._run, running, request) for running in ours.values()]
            async with aclosing(side_by_side(runs)) as events:
                async for event in events:
                    yield event
        finally:
            self._forget(request.query, ours)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        if request.purpose != "complete":
            known = self.core.vocabulary
            yield tokenized(self.core.tokenizer, known, self.prompter, request)
            return
        name = f"{request.query}/{next(self._names)}"
        self._count += 1
        try:
            async with aclosing(complete(self.core, self.format, request, name)) as events:
                async for event in events:
                    yield event
        finally:
            self._count -= 1

    def _shape(self, request: SampleRequest) -> AnswerShape:
        shape = shape_of(request)
        if shape.schema is not None:
            try:
                self.core.check_schema(shape.schema)
            except ValueError as error:
                field = "tools" if shape.forced else "response_format"
                raise Refused(field, f"{field}: the engine cannot hold to it: {error}") from None
        return shape

    def _named(self, query: str, chain: int | None) -> list[Running]:
        """Running chains of a query; of all requests with its id."""
        requests = self._running.get(query, ())
        chains = [item for request in requests for item in request.items()]
        return [running for number, running in chains if chain in (None, number)]

    def _forget(self, query: str, ours: dict[int, Running]) -> None:
        # By identity: requests of one id may run at once.
        left = [chains for chains in self._running[query] if chains is not ours]
        if left:
            self._running[query] = left
        else:
            del self._running[query]

    def _room(self, prompt_tokens: int, answer_tokens: int) -> int:
        """Thinking tokens that fit between the prompt and the answer's reserve."""
        context, closing = self.core.max_model_len, self.format.most_closing
        room = context - prompt_tokens - closing - answer_tokens
        if room < 0:
            raise too_long(prompt_tokens, answer_tokens, context, closing=closing)
        return room

    def _start(
        self,
        request: SampleRequest,
        number: int,
        chain: Chain,
        prompt: list[int],
        shape: AnswerShape,
    ) -> Running:
        params, signals = request.sampling, request.signals
        watched = bool(request.probing or signals)
        confidence = signals.top if signals else None
        thinking = GenerateOptions(
            replace(params, logprobs=confidence),
            # The paper's code knows no recommended values.
            recommended=not request.budget.compat,
            live=request.stream == number or watched,
            concurrency=1 if watched else self._count,
        )
        wanted = [most for most in (params.logprobs, confidence) if most is not None]
        answering = replace(
            thinking,
            params=replace(params, logprobs=max(wanted, default=None)),
            schema=shape.schema,
        )
        names = (f"{request.query}/{number}/{call}" for call in self._names)
        options = RunningOptions(thinking, answering, shape, params.logprobs)
        return Running(chain, number, prompt, options, names.__next__)

    async def _run(self, running: Running, request: SampleRequest, emit: Emit) -> None:
        began, chain = time.monotonic(), running.chain
        parent = request.parent(running.number)
        before = len(parent.thinking_ids) if parent else 0
        at = request.checkpoint(running.number) or Checkpoint()
        trials = Trials(running, self.core, request.probing, emit) if request.probing else None
        watchers = self._watchers(running, request, trials, at, before, emit)
        self._count += 1
        try:
            if at.conclude or request.conclude:
                await running.end(self.core, "conclude")
            running.start(watchers, at, before)
            # What is asked of the answer alone needs a call of its own.
            options = running.run_options
            apart = options.answering != options.thinking or bool(chain.answer_stops)
            driver = "reprompt" if apart else self.options.driver
            await choose(driver, request, self.format)(self.core, running)
        except CoreDied as error:
            log.warning("query %s: chain %d is lost: %s", request.query, running.number, error)
            chain.abandon("lost")
        finally:
            self._count -= 1
            if watchers.live:
                watchers.live.end()
                # Tool calls are read from the whole answer, not streamed as its text.
                watchers.live.flush("thinking" if running.run_options.shape.tools else None)
            if trials:
                await trials.end()
        probe_tokens = at.probe_tokens + (trials.tokens if trials else 0)
        emit(self._sample(running, before, at.seconds + time.monotonic() - began, probe_tokens))

    def _watchers(
        self,
        running: Running,
        request: SampleRequest,
        trials: Trials | None,
        at: Checkpoint,
        before: int,
        emit: Emit,
    ) -> Watchers:
        points = None
        if request.probing:
            begun = max(before, len(at.thinking))
            points = ProbePoints(request.probing, self.format, begun=begun, made=at.trials)
        streams = request.stream == running.number
        reports = reports_progress(request, running.number)
        return Watchers(
            live=LiveText(self.core.tokenizer, running.number, emit) if streams else None,
            report=self._reporter(running.number, points, trials, at, emit) if reports else None,
            meter=ConfidenceMeter(request.signals) if request.signals else None,
            points=points,
            probe=trials.start if trials else None,
            concurrency=lambda: self._count,
        )

    def _reporter(
        self,
        number: int,
        points: ProbePoints | None,
        trials: Trials | None,
        at: Checkpoint,
        emit: Emit,
    ) -> Callable[[Checkpoint], None]:
        reported, began = at, time.monotonic()

        def report(now: Checkpoint) -> None:
            nonlocal reported
            now = replace(
                now,
                trials=points.made if points else 0,
                probe_tokens=at.probe_tokens + (trials.tokens if trials else 0),
                seconds=at.seconds + time.monotonic() - began,
            )
            emit(ChainProgress(number, now.since(reported)))
            reported = now

        return report

    def _sample(self, running: Running, before: int, seconds: float, probe_tokens: int) -> Sample:
        chain, meter = running.chain, running.watchers.meter
        text, calls, answer = read_answer(running)
        forced_thinking = chain.forced_tokens - len(chain.closing)
        reasoning = len(chain.thinking) - forced_thinking - before
        assert chain.stop_cause is not None, "a driver left a chain unfinished"
        return Sample(
            chain=running.number,
            thinking=whole_letters(self.format.decode(chain.thinking)),
            text=text,
            answer=None if chain.stop_cause in UNANSWERED else answer,
            stop_cause=chain.stop_cause,
            thinking_tokens=len(chain.thinking),
            answer_tokens=len(chain.answer),
            extensions=chain.extensions_used,
            generated_tokens=reasoning + len(chain.answer) + chain.discarded_tokens,
            forced_tokens=chain.forced_tokens,
            discarded_tokens=chain.discarded_tokens,
            complete=chain.reached_end_of_turn,
            stop_text=chain.stopped.stop if chain.stopped else "",
            thinking_ids=tuple(chain.thinking),
            seconds=seconds,
            replica=self.options.replica or str(os.getpid()),
            violations=chain.violations(),
            confidence=meter.read() if meter else None,
            probe_tokens=probe_tokens,
            tool_calls=() if chain.stop_cause in UNANSWERED else calls,
            logprobs=tuple(
                scored(self.core.tokenizer, running.scores, running.run_options.logprobs or 0)
            ),
        )
