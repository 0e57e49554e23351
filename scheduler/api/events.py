"""One query on its way, told as it happens; every streaming route renders the same events."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from scheduler.api.prepared import PreparedQuery
from scheduler.api.response import chosen, content, reasoning
from scheduler.api.stop_sequences import StopSequenceFilter
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from workers.sample import Accepted, Delta

KEEP_ALIVE_SECONDS = 10.0


class Started(NamedTuple):
    """The engine has taken the query."""


class ReasoningText(NamedTuple):
    """A piece of reasoning: of the first chain, or of the best one, as the request has it."""

    text: str


class AnswerText(NamedTuple):
    """A piece of the best answer; all pieces together are its content."""

    text: str


class KeepAlive(NamedTuple):
    """Nothing was told for `KEEP_ALIVE_SECONDS`."""


class Done(NamedTuple):
    outcome: Outcome


QueryEvent = Started | ReasoningText | AnswerText | KeepAlive | Done


async def follow(controller: Controller, job: PreparedQuery) -> AsyncGenerator[QueryEvent]:
    """Started, then pieces of reasoning, pieces of content, and Done; Silence in between.

    Raises RequestError: before Started where the request was refused, later where it failed.
    """
    if job.is_dry_run:
        outcome = controller.preview(job.query, policy=job.policy, tenant=job.tenant)
        yield Started()
        yield Done(outcome)
        return
    events: asyncio.Queue[Accepted | Delta | None] = asyncio.Queue()
    answering = asyncio.create_task(
        controller.answer(
            job.query,
            policy=job.policy,
            on_event=events.put_nowait,
            learn=job.learns,
            tenant=job.tenant,
        )
    )
    answering.add_done_callback(lambda _: events.put_nowait(None))
    now, live = asyncio.get_running_loop().time, _Live(job)
    started, sent_at = False, now()
    try:
        while True:
            try:
                async with asyncio.timeout_at(sent_at + KEEP_ALIVE_SECONDS):
                    event = await events.get()
            except TimeoutError:
                yield KeepAlive()
                sent_at = now()
                continue
            if event is None:
                outcome = answering.result()
            if not started:
                started, sent_at = True, now()
                yield Started()
            if event is None:
                break
            if isinstance(event, Delta):
                for piece in live.feed(event):
                    sent_at = now()
                    yield piece
        for piece in live.close(outcome):
            yield piece
        yield Done(outcome)
    finally:
        answering.cancel()


class _Live:
    """What a running chain's text tells the caller.

    A live answer is the query's last word, so its chain is the winner: then the winner's reasoning
    is what has been heard of it. An answer that may turn out to be a tool's call is not told live.
    """

    def __init__(self, job: PreparedQuery) -> None:
        self._job = job
        shows, whose = job.request.shows_reasoning, job.request.thinkbudget.stream
        self._whose = whose if shows else "none"
        self._answer = StopSequenceFilter(job.request.stops)
        self._thoughts: list[str] = []

    def feed(self, delta: Delta) -> list[QueryEvent]:
        if not delta.text:
            return []
        if delta.phase == "thinking":
            if self._whose == "lead":
                return [ReasoningText(delta.text)]
            self._thoughts += [delta.text] if self._whose == "winner" else []
            return []
        if self._job.request.tools:
            return []
        answer = self._answer.feed(delta.text)
        if not answer:
            return []
        reasoning_text = "".join(self._thoughts)
        self._thoughts = []
        return (
            [ReasoningText(reasoning_text), AnswerText(answer)]
            if reasoning_text
            else [AnswerText(answer)]
        )

    def close(self, outcome: Outcome) -> list[QueryEvent]:
        """What is left to tell, now that the winner is known."""
        best = next(iter(chosen(self._job, outcome)), None)
        reasoning_text = reasoning(self._job, best)
        rest = self._answer.close(content(self._job, best))
        events: list[QueryEvent] = []
        if self._whose == "winner" and not self._answer.shown and reasoning_text:
            events.append(ReasoningText(reasoning_text))
        return [*events, AnswerText(rest)] if rest else events
