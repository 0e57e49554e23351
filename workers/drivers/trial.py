"""Trial answers on branches of a running chain: its thoughts so far, cut, and an answer forced."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from policies.signals import Probe, Probing
from workers.answers.extract import extract
from workers.drivers.confidence import geometric_mean
from workers.drivers.core import Core, CoreDied, GenerateOptions, floored
from workers.drivers.running import Running
from workers.forcing.chain import UNANSWERED, GenerateCall


class Trials:
    """The trials of one chain. Greedy, beside the chain itself, which does not wait for them."""

    def __init__(
        self,
        running: Running,
        core: Core,
        probing: Probing,
        emit: Callable[[Probe], None],
    ) -> None:
        self._running, self._core, self._probing, self._emit = running, core, probing, emit
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[str] = set()
        self._failed: BaseException | None = None
        self.tokens = 0

    def start(self, at: int) -> None:
        """Branch off after this many thinking tokens."""
        task = asyncio.create_task(self._try(self._running.chain.thinking[:at]))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def end(self) -> None:
        """Wait for the trials that are still running, or end them, and count what they had cost.

        Raises what a trial has raised.
        """
        while tasks := list(self._tasks):
            if self._open and not self._waits:
                await self._core.abort(list(self._open))
            await asyncio.wait(tasks, timeout=1.0)
        if self._failed is not None:
            raise self._failed

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._failed = self._failed or task.exception()

    @property
    def _waits(self) -> bool:
        """Whether the chain has answered, and its trials are wanted all the same."""
        return self._probing.waits and self._running.chain.stop_cause not in (None, *UNANSWERED)

    async def _try(self, thinking: list[int]) -> None:
        format_, running = self._running.chain.format, self._running
        closing = format_.closing_on_cut(on_a_fresh_line=format_.ends_a_line(thinking))
        reserve = running.chain.budget.answer_tokens
        call = GenerateCall(min(self._probing.answer_tokens, reserve), 0, format_.end_of_turn)
        name = running.names()
        self._open.add(name)
        self.tokens += len(closing)
        tokens: list[int] = []
        certainty, scored, finished = 0.0, 0, False
        asked = running.run_options.thinking
        params = replace(asked.params, temperature=0, logprobs=0, seed=None, top_p=None)
        greedy = GenerateOptions(params, recommended=asked.recommended)
        deltas = self._core.generate(name, [*running.prompt, *thinking, *closing], call, greedy)
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    finished = delta.finish in ("stop", "length")
                    kept = len(delta.tokens) - (delta.finish == "stop")
                    tokens += delta.tokens[:kept]
                    scores = delta.logprobs[:kept]
                    certainty += sum(floored(token.sampled) for token in scores)
                    scored += len(scores)
                    self.tokens += len(delta.tokens)
        except CoreDied:
            return  # the chain itself tells of it
        finally:
            self._open.discard(name)
        if finished:
            forced = format_.decode(format_.forced_answer)
            text = format_.decode([*format_.forced_answer, *tokens]).strip()
            answer = extract(text, forced, running.run_options.shape.answer)
            probability = geometric_mean(certainty, scored) or 0.0
            cost = len(closing) + len(tokens) + (delta.finish == "stop")
            probe = Probe(running.number, len(thinking), answer, probability, text, cost)
            self._emit(probe)
