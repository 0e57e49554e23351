"""The chain that a request asks for: a new one, one to be extended, or one from a checkpoint."""

from policies.plan import Budget
from workers.answers.answer_shape import AnswerShape
from workers.drivers.core import Core
from workers.engine import Refused, SampleRequest
from workers.forcing.chain import Chain
from workers.forcing.checkpoint import restore
from workers.forcing.harness import chain_class, chain_for
from workers.forcing.step_chain import StepChain
from workers.format import TokenFormat


def begin_chain(
    core: Core,
    format_: TokenFormat,
    request: SampleRequest,
    number: int,
    room: int,
    shape: AnswerShape,
) -> Chain:
    """`room` is what the context leaves for thinking. Raises Refused."""
    chain = _begun(core, _spoken(format_, request.budget, shape), request, number, room, shape)
    parent = request.parent(number)
    if isinstance(chain, StepChain) and parent:
        chain.begun = len(parent.thinking_ids)
    return chain


def _begun(
    core: Core,
    format_: TokenFormat,
    request: SampleRequest,
    number: int,
    room: int,
    shape: AnswerShape,
) -> Chain:
    budget, before = request.budget, request.parent(number)
    # Not inside of calls: their JSON would be cut in half.
    stops = request.sampling.answer_stops if shape.tools is None else ()
    try:
        if (at := request.checkpoint(number)) and at.begun:
            return restore(format_, budget, room, at, stops)
        if before is None:
            return chain_for(format_, budget, room, stops)
        if budget.compat:
            raise ValueError("harness_compat and readme_compat cannot extend a finished chain")
        known = core.vocabulary
        if unknown := [token for token in before.thinking_ids if not 0 <= token < known]:
            raise ValueError(f"parents holds token {unknown[0]}, the model has {known} tokens")
        return chain_class(budget).resume(
            format_,
            budget,
            room=room,
            thinking=before.thinking_ids,
            stop_cause=before.stop_cause,
            extensions=before.extensions,
            answer_stops=stops,
        )
    except ValueError as error:
        raise Refused(str(error).split()[0], str(error)) from None


def _spoken(format_: TokenFormat, budget: Budget, shape: AnswerShape) -> TokenFormat:
    """Without "Final Answer:" where that would be in the way of what is no prose, or would take
    the answer's part of `max_tokens`.
    """
    reserve = format_.most_closing + budget.answer_tokens
    fits = budget.max_tokens is None or reserve <= budget.max_tokens
    return format_ if shape.plain and fits else format_.wordless
