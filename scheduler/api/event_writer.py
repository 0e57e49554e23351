"""The loop over a query's events that every streaming route shares."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import ClassVar

from scheduler.api.events import (
    AnswerText,
    ChainProgressed,
    Done,
    KeepAlive,
    ReasoningText,
    Started,
    follow,
)
from scheduler.api.prepared import PreparedQuery
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.rounds import DecisionStep
from workers.sample import Sample


class EventWriter(ABC):
    """Writes the events of one query as server-sent events in the format of one route."""

    keep_alive: ClassVar[str]
    #: Whether reasoning is shown that is generated after text of the answer was shown. It is not
    #: where reasoning is one block that has ended by then.
    shows_late_reasoning: ClassVar[bool] = False

    @abstractmethod
    def started(self, prompt_tokens: int) -> Iterator[str]: ...

    @abstractmethod
    def reasoning(self, text: str, tokens: int) -> Iterator[str]: ...

    @abstractmethod
    def answer(self, text: str, tokens: int) -> Iterator[str]: ...

    def progress(self, what: DecisionStep | Sample) -> Iterator[str]:
        """Nothing, in a format that has no place for it."""
        return iter(())

    @abstractmethod
    def done(self, outcome: Outcome) -> Iterator[str]: ...

    @abstractmethod
    def failed(self, error: RequestError) -> Iterator[str]: ...


async def write(
    controller: Controller, job: PreparedQuery, writer: EventWriter
) -> AsyncIterator[str]:
    """All events of a query.

    Raises RequestError before the first event when the request is refused; afterwards an error is
    an event of its own.
    """
    has_begun = has_answered = False
    async with aclosing(follow(controller, job)) as events:
        try:
            async for event in events:
                has_begun = True
                match event:
                    case KeepAlive():
                        written = iter((writer.keep_alive,))
                    case Started(prompt_tokens):
                        written = writer.started(prompt_tokens)
                    case ReasoningText() if has_answered and not writer.shows_late_reasoning:
                        continue
                    case ReasoningText(text, tokens):
                        written = writer.reasoning(text, tokens)
                    case AnswerText(text, tokens):
                        has_answered = True
                        written = writer.answer(text, tokens)
                    case ChainProgressed(what):
                        written = writer.progress(what)
                    case Done(outcome):
                        written = writer.done(outcome)
                for chunk in written:
                    yield chunk
        except RequestError as error:
            if not has_begun:
                raise
            for chunk in writer.failed(error):
                yield chunk
