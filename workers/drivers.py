"""Three ways to run a chain on a core. All give the same tokens; they differ in speed and needs."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from workers.core import Core
from workers.engine import SampleRequest
from workers.format import TokenFormat
from workers.in_engine import ForcedStreamDecoder, most_tokens, order
from workers.running import Running

Driver = Callable[[Core, Running], Awaitable[None]]


async def reprompt(core: Core, running: Running) -> None:
    """Every call is a request of its own, prompted with all tokens so far (ids, never text).

    Needs nothing but generation; prefix caching makes the repeated part cheap.
    """
    while (call := running.call()) is not None:
        tokens, name = running.tokens(), running.fresh_name()
        async with aclosing(core.generate(name, tokens, call, running.sampling)) as pieces:
            async for piece in pieces:
                running.take(piece)
                if running.wants_to_end:
                    break


async def session(core: Core, running: Running) -> None:
    """One resumable request: the core keeps the KV cache between calls, and gets what we append.

    At the end of a call the core forgets its last sampled token: the stop, which the chain has
    dropped too, or at a cut a token that is then said again.
    """
    while (call := running.call()) is not None:
        tokens, last = running.tokens(), running.chain.phase == "answer"
        conversation = core.open_session(running.fresh_name(), running.sampling)
        conversation.say(tokens, call, last=last)
        known = len(tokens)
        async with aclosing(conversation.pieces()) as pieces:
            async for piece in pieces:
                running.take(piece)
                known += len(piece.tokens)
                if running.wants_to_end or piece.finish == "abort":
                    break
                if piece.finish is None or last:
                    continue
                if (call := running.call()) is None:
                    break
                tokens, said = running.tokens(), known - 1
                last = running.chain.phase == "answer"
                conversation.say(tokens[said:], call, last=last)
                known = len(tokens)


async def processor(core: Core, running: Running) -> None:
    """The whole chain is one request, forced inside the engine (workers/in_engine.py).

    What the engine's end of it has no room for, at the very end of the context, is run as a
    session; so is what is left of a chain that is told to end early.
    """
    chain, tokens = running.chain, running.tokens()
    if len(tokens) + most_tokens(chain, core.vocabulary) <= core.max_model_len:
        running.feed = ForcedStreamDecoder(chain, core.vocabulary).feed
        asked, name = order(chain, core.vocabulary), running.fresh_name()
        async with aclosing(core.generate_forced(name, tokens, asked, running.sampling)) as pieces:
            async for piece in pieces:
                running.take(piece)
        running.feed = chain.feed
    await session(core, running)


DRIVERS: dict[str, Driver] = {"session": session, "reprompt": reprompt, "processor": processor}


def why_not(driver: str, format_: TokenFormat) -> str | None:
    """Why no chain of this format can be run so; None when it can. `reprompt` always can."""
    if driver not in DRIVERS:
        raise ValueError(f"driver must be one of {', '.join(DRIVERS)}, got {driver!r}")
    if driver != "reprompt" and format_.stop_texts:
        return f"format {format_.strings.name!r} stops at texts, not at single tokens"
    return None


def choose(driver: str, request: SampleRequest, format_: TokenFormat) -> Driver:
    """The driver for one request: the one asked for, if it can run such chains.

    The paper's own semantics take tokens back, which only a fresh prompt can. A branch, an early
    end and a chain that is shown and may have to move need to know of every Wait as it happens,
    which the engine's processor tells at the end.
    """
    if request.forcing.compat or why_not(driver, format_):
        return reprompt
    followed = request.probing or request.signals or request.resume or request.checkpoints
    may_move = request.progress and request.stream is not None and request.forcing.extensions
    if driver == "processor" and (followed or may_move):
        return session
    return DRIVERS[driver]


def tells_progress(driver: str, request: SampleRequest, format_: TokenFormat, chain: int) -> bool:
    """Whether to tell of a chain how far it has come; otherwise it would have to begin anew.

    That is no loss where nothing of it was shown, and exact where its confidence is measured, which
    a checkpoint does not hold, or its Waits are counted at the end, by the engine's processor.
    """
    if not request.progress or request.stream == chain:
        return request.progress
    counted_late = choose(driver, request, format_) is processor and request.forcing.extensions
    return not (request.signals or counted_late)
