"""An engine out of a core: chains of many queries, forced, watched, probed, and counted."""

import itertools
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from workers.answers.answer_shape import AnswerShape, shape_of
from workers.checkpoint import Checkpoint, restore
from workers.completing import complete
from workers.completion import CompletionEvent, CompletionRequest
from workers.confidence import ConfidenceMeter
from workers.core import Core, CoreDied, Sampling
from workers.drivers import choose, tells_progress
from workers.engine import EngineEvent, EngineInfo, Load, Refused, SampleRequest
from workers.forcing import UNANSWERED, Chain
from workers.format import TokenFormat
from workers.harness import chain_for
from workers.probing import ProbePoints
from workers.prompt import Prompter
from workers.running import LiveText, Running
from workers.sample import Accepted, ChainProgress, Sample
from workers.side_by_side import Emit, side_by_side
from workers.token_text import scored
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
            self.core.seeds,
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

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        shape = self._shape(request)
        prompt = self.prompter.tokens(request.messages, request.suffix, shape.tools)
        room = self._room(len(prompt), request.forcing.answer_tokens)
        chains = {number: self._chain(request, number, room, shape) for number in request.chains}
        ours = {
            number: self._start(request, number, chains[number], prompt, shape) for number in chains
        }
        # Before anybody knows of them: they can be cancelled from now on.
        self._running.setdefault(request.query, {}).update(ours)
        try:
            yield Accepted(len(prompt))
            runs = [partial(self._run, running, request) for running in ours.values()]
            async with aclosing(side_by_side(runs)) as events:
                async for event in events:
                    yield event
        finally:
            self._forget(request.query, ours)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
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

    def _forget(self, query: str, ours: dict[int, Running]) -> None:
        theirs = self._running[query]
        for number, running in ours.items():
            if theirs.get(number) is running:
                del theirs[number]
        if not theirs:
            del self._running[query]

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

    def _chain(self, request: SampleRequest, number: int, room: int, shape: AnswerShape) -> Chain:
        forcing, before = request.forcing, request.resume
        # "Final Answer:" would be in the way of what is no prose.
        format_ = self.format if shape.plain else self.format.wordless
        try:
            if (at := request.checkpoint(number)) and at.begun:
                return restore(format_, forcing, room, at)
            if before is None:
                return chain_for(format_, forcing, room)
            if forcing.compat:
                raise ValueError("harness_compat and readme_compat cannot extend a finished chain")
            known = self.core.vocabulary
            if unknown := [token for token in before.thinking_ids if not 0 <= token < known]:
                raise ValueError(f"resume holds token {unknown[0]}, the model has {known} tokens")
            return Chain.resume(
                format_,
                forcing,
                room=room,
                thinking=before.thinking_ids,
                stop_cause=before.stop_cause,
                extensions=before.extensions,
            )
        except ValueError as error:
            raise Refused(str(error).split()[0], str(error)) from None

    def _start(
        self,
        request: SampleRequest,
        number: int,
        chain: Chain,
        prompt: list[int],
        shape: AnswerShape,
    ) -> Running:
        signals, watched = request.signals, bool(request.probing or request.signals)
        sampling = Sampling(
            temperature=request.temperature,
            live=request.stream == number or watched,
            crowd=1 if watched else self._count,
            logprobs=signals.top if signals else None,
            top_p=request.top_p,
            seed=request.seed,
            priority=request.priority,
            salt=request.salt,
        )
        names = (f"{request.query}/{number}/{call}" for call in self._names)
        running = Running(chain, number, prompt, sampling, names.__next__)
        if request.logprobs is not None:
            running.scores, running.most_scores = [], request.logprobs
            most = max(request.logprobs, sampling.logprobs or 0)
            sampling = replace(sampling, logprobs=most)
        running.answering = replace(sampling, schema=shape.schema)
        running.shape = shape
        running.whole_answer = not shape.plain or request.logprobs is not None
        return running

    async def _run(self, running: Running, request: SampleRequest, emit: Emit) -> None:
        began, chain = time.monotonic(), running.chain
        before = len(request.resume.thinking_ids) if request.resume else 0
        at = request.checkpoint(running.number) or Checkpoint()
        trials = None
        if request.stream == running.number:
            running.live = LiveText(self.core.tokenizer, running.number, emit)
        if request.signals:
            running.meter = ConfidenceMeter(request.signals)
        if request.probing:
            trials = Trials(running, self.core, request.probing, emit)
            begun = max(before, len(at.thinking))
            running.points = ProbePoints(request.probing, self.format, begun=begun, made=at.trials)
            running.probe = trials.start
        if tells_progress(self.options.driver, request, self.format, running.number):
            running.report = self._reporter(running, trials, at, emit)
        self._count += 1
        running.crowd = lambda: self._count
        try:
            if at.conclude:
                await running.end(self.core, "conclude")
            if at.begun:
                running.go_on(at, before)
            else:
                running.begin()
            # What is asked of the answer alone needs a call of its own.
            apart = running.answering != running.thinking
            driver = "reprompt" if apart else self.options.driver
            await choose(driver, request, self.format)(self.core, running)
        except CoreDied as error:
            log.warning("query %s: chain %d is lost: %s", request.query, running.number, error)
            chain.abandon("lost")
        finally:
            self._count -= 1
            if running.live:
                # A call of a tool is told as such, when the sample is read.
                running.live.flush("thinking" if running.shape.tools else None)
            if trials:
                await trials.end()
        probe_tokens = at.probe_tokens + (trials.tokens if trials else 0)
        emit(self._sample(running, before, at.seconds + time.monotonic() - began, probe_tokens))

    def _reporter(
        self, running: Running, trials: Trials | None, at: Checkpoint, emit: Emit
    ) -> Callable[[Checkpoint], None]:
        told, began = at, time.monotonic()

        def report(now: Checkpoint) -> None:
            nonlocal told
            now = replace(
                now,
                trials=running.points.made if running.points else 0,
                probe_tokens=at.probe_tokens + (trials.tokens if trials else 0),
                seconds=at.seconds + time.monotonic() - began,
            )
            emit(ChainProgress(running.number, now.since(told)))
            told = now

        return report

    def _sample(self, running: Running, before: int, seconds: float, probe_tokens: int) -> Sample:
        chain, meter = running.chain, running.meter
        text = self.format.decode([*chain.forced_answer, *chain.answer]).strip()
        text, calls, answer = running.shape.read(text)
        forced_thinking = chain.forced_tokens - len(chain.closing)
        reasoning = len(chain.thinking) - forced_thinking - before
        assert chain.stop_cause is not None, "a driver left a chain unfinished"
        return Sample(
            chain=running.number,
            thinking=self.format.decode(chain.thinking),
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
            thinking_ids=tuple(chain.thinking),
            seconds=seconds,
            replica=self.options.replica or str(os.getpid()),
            violations=chain.violations(),
            confidence=meter.read() if meter else None,
            probe_tokens=probe_tokens,
            tool_calls=() if chain.stop_cause in UNANSWERED else calls,
            logprobs=tuple(scored(self.core.tokenizer, running.scores or (), running.most_scores)),
        )
