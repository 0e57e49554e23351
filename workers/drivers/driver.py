"""Two ways to run a chain on a core. Both give the same tokens; they differ in speed and needs."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from workers.drivers.core import Core
from workers.drivers.running import Running
from workers.engine import SampleRequest
from workers.format import TokenFormat

Driver = Callable[[Core, Running], Awaitable[None]]


async def reprompt(core: Core, running: Running) -> None:
    """Every call is a request of its own, prompted with all tokens so far (ids, never text).

    Needs nothing but generation; prefix caching makes the repeated part cheap.
    """
    while (call := running.call()) is not None:
        tokens, name = running.tokens(), running.fresh_name()
        async with aclosing(core.generate(name, tokens, call, running.options)) as deltas:
            async for delta in deltas:
                running.take(delta)
                if running.wants_to_end:
                    break


async def session(core: Core, running: Running) -> None:
    """One resumable request: the core keeps the KV cache between calls, and gets what we append.

    At the end of a call the core forgets its last sampled token: the stop, which the chain has
    dropped too, or at a cut a token that is then said again.
    """
    while (call := running.call()) is not None:
        tokens, last = running.tokens(), running.chain.phase == "answer"
        streaming = core.open_session(running.fresh_name(), running.options)
        streaming.append(tokens, call, last=last)
        known = len(tokens)
        async with aclosing(streaming.deltas()) as deltas:
            async for delta in deltas:
                running.take(delta)
                known += len(delta.tokens)
                if running.wants_to_end or delta.finish == "abort":
                    break
                if delta.finish is None or last:
                    continue
                if (call := running.call()) is None:
                    break
                tokens, appended = running.tokens(), known - 1
                last = running.chain.phase == "answer"
                streaming.append(tokens[appended:], call, last=last)
                known = len(tokens)


DRIVERS: dict[str, Driver] = {"session": session, "reprompt": reprompt}


def why_not(driver: str, format_: TokenFormat) -> str | None:
    """Why no chain of this format can be run so; None when it can. `reprompt` always can."""
    if driver not in DRIVERS:
        raise ValueError(f"driver must be one of {', '.join(DRIVERS)}, got {driver!r}")
    if driver != "reprompt" and format_.stop_texts:
        return f"format {format_.strings.name!r} stops at texts, not at single tokens"
    return None


def choose(driver: str, request: SampleRequest, format_: TokenFormat) -> Driver:
    """The driver for one request: the one asked for, if it can run such chains.

    The paper's own semantics take tokens back, which only a new prompt can; a step ends at a text.
    """
    if request.budget.compat or request.budget.step_tokens or why_not(driver, format_):
        return reprompt
    return DRIVERS[driver]


def reports_progress(request: SampleRequest, chain: int) -> bool:
    """Whether a chain reports its progress; without reports another engine starts it again.

    A chain whose confidence is measured starts again: a checkpoint does not hold the confidence.
    Nothing of it was streamed, so that the client sees no repetition.
    """
    return request.progress and (request.stream == chain or request.signals is None)
