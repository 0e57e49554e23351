"""The events of one running query; every streaming route renders the same events."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from scheduler.api.prepared import PreparedQuery
from scheduler.api.response import chosen, content, reasoning
from scheduler.api.stop_sequences import StopSequenceFilter
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.rounds import DecisionStep, LiveEvent
from scheduler.solving.trace import TRACE
from workers.sample import Accepted, Delta, Sample

KEEP_ALIVE_SECONDS = 10.0


class Started(NamedTuple):
    """The engine has taken the query, whose prompt is so long."""

    prompt_tokens: int = 0


class ReasoningText(NamedTuple):
    """A piece of reasoning: of the first chain or of the best one, as the request asks.

    `tokens` is how many tokens the streamed chain has had by then.
    """

    text: str
    tokens: int = 0


class AnswerText(NamedTuple):
    """A piece of the best answer; all pieces together are its content. `tokens` as above."""

    text: str
    tokens: int = 0


class ChainProgressed(NamedTuple):
    """The engine has taken the chains of a decision, or a chain has ended."""

    what: DecisionStep | Sample


class KeepAlive(NamedTuple):
    """There was no event for `KEEP_ALIVE_SECONDS`."""


class Done(NamedTuple):
    outcome: Outcome


QueryEvent = Started | ReasoningText | AnswerText | ChainProgressed | KeepAlive | Done


async def follow(controller: Controller, job: PreparedQuery) -> AsyncGenerator[QueryEvent]:
    """Started, then pieces of reasoning, pieces of content, and Done.

    KeepAlive comes in between, and ChainProgressed where it was asked for.

    The first piece of an answer is noted in the trace of the request.

    Raises RequestError: before Started where the request was refused, later where it failed.
    """
    if job.is_dry_run:
        outcome = controller.preview(job.query, policy=job.policy, tenant=job.tenant)
        yield Started()
        yield Done(outcome)
        return
    events: asyncio.Queue[LiveEvent | None] = asyncio.Queue()
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
    now, live, trace = asyncio.get_running_loop().time, _Live(job), TRACE.get(None)
    is_started, last_event, tokens = False, now(), 0
    try:
        while True:
            try:
                async with asyncio.timeout_at(last_event + KEEP_ALIVE_SECONDS):
                    event = await events.get()
            except TimeoutError:
                yield KeepAlive()
                last_event = now()
                continue
            if event is None:
                outcome = answering.result()
            if not is_started:
                is_started, last_event = True, now()
                known = event.prompt_tokens if isinstance(event, Accepted) else 0
                yield Started(known if event else outcome.prompt_tokens)
            if event is None:
                break
            if isinstance(event, DecisionStep | Sample) and job.shows_progress:
                last_event = now()
                yield ChainProgressed(event)
            if isinstance(event, Delta):
                if trace and event.phase == "answer":
                    trace.note_content()
                tokens += event.tokens
                for shown in live.feed(event):
                    last_event = now()
                    yield shown._replace(tokens=tokens)
        for piece in live.close(outcome):
            yield piece
        yield Done(outcome)
    finally:
        answering.cancel()


class _Live:
    """The events that a running chain's text becomes.

    Only the chain whose answer is the reply streams an answer: its reasoning so far is then the
    winner's. An answer that may turn out to be a tool call is not streamed.
    """

    def __init__(self, job: PreparedQuery) -> None:
        self._job = job
        shows, whose = job.request.shows_reasoning, job.request.thinkbudget.stream
        self._whose = whose if shows else "none"
        self._answer = StopSequenceFilter(job.request.stops)
        self._thoughts: list[str] = []

    def feed(self, delta: Delta) -> list[ReasoningText | AnswerText]:
        if not delta.text:
            return []
        if delta.phase == "thinking":
            if self._whose == "lead":
                return [ReasoningText(delta.text)]
            self._thoughts += [delta.text] if self._whose == "winner" else []
            return []
        if self._job.request.tools:
            return []
        text = self._answer.feed(delta.text)
        if not text:
            return []
        thought = "".join(self._thoughts)
        self._thoughts = []
        return [ReasoningText(thought), AnswerText(text)] if thought else [AnswerText(text)]

    def close(self, outcome: Outcome) -> list[QueryEvent]:
        """The events that are left, now that the winner is known."""
        best = next(iter(chosen(self._job, outcome)), None)
        thought = reasoning(self._job, best)
        rest = self._answer.close(content(self._job, best))
        events: list[QueryEvent] = []
        if self._whose == "winner" and not self._answer.shown and thought:
            events.append(ReasoningText(thought))
        return [*events, AnswerText(rest)] if rest else events
