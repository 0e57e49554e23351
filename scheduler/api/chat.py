"""From a chat request to a query and its policy, and from the outcome to OpenAI's shapes.

`complete` is all that batch jobs and `ask` need; it knows of no network.
"""

import time
import uuid
from typing import Any

from policies.answer_spec import AnswerSpec
from policies.base import Limits, Message, Query
from policies.sampling import SamplingParams
from scheduler.api import aliases, budget
from scheduler.api import response as reply
from scheduler.api.ignored_fields import unheeded
from scheduler.api.messages import NamedTool, as_json
from scheduler.api.policy_selection import select
from scheduler.api.prepared import PreparedQuery
from scheduler.api.protocol import ChatRequest, parse
from scheduler.errors import InvalidRequest
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from workers.sample import Sample

DEFAULT_CLASS = "default"
PRIORITIES = {"priority": -1, "flex": 1}
"""Of service tiers, the lower the sooner; 0 for all others."""


def prepare(controller: Controller, body: object) -> PreparedQuery:
    """Check a request body against the model and the policies; refuse it by the field at fault."""
    request = parse(body)
    assert isinstance(body, dict), "parse refuses what is none"
    info, options = controller.info, request.thinkbudget
    alias = aliases.resolve(request.model, info.model)
    query_class = _class_of(controller, request)
    selected = select(
        controller,
        options,
        budget.read(request),
        alias,
        controller.curves.curve(info.model, query_class),
    )
    query = Query(
        id=uuid.uuid4().hex,
        messages=tuple(Message(turn.role, turn.plain, turn.extra) for turn in request.messages),
        query_class=query_class,
        limits=Limits(
            max_total_tokens=options.max_total_tokens,
            deadline_seconds=options.deadline_seconds,
            target_accuracy=options.target_accuracy,
            value=options.value * (selected.effort.value if selected.effort else 1.0),
            max_thinking_tokens=selected.max_thinking_tokens,
            max_chain_tokens=request.most_tokens,
        ),
        reference=options.reference_answer,
        sampling=SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            logprobs=request.most_logprobs,
            tools=_tools(request),
            tool_choice=_tool_choice(request),
            answer_stops=tuple(request.stops),
            parallel_tool_calls=request.parallel_tool_calls is not False,
            response_format=request.response_format.given if request.response_format else None,
            priority=PRIORITIES.get(reply.tier_of(request), 0),
            answer=_answer_spec(controller, request, query_class),
        ),
        choices=request.choices,
        session=(request.metadata or {}).get("session_id", ""),
        difficulty=options.difficulty,
    )
    if not any(turn.content.strip() for turn in query.messages):
        raise InvalidRequest("messages: all of them are empty", field="messages")
    ignored = unheeded(body, request, seeds=info.seeds)
    return PreparedQuery(
        request,
        query,
        selected.policy,
        selected.effort,
        selected.clipped,
        ignored,
        int(time.time()),
    )


async def complete(controller: Controller, body: object) -> dict[str, Any]:
    """A whole chat completion; raises RequestError."""
    return await answer(controller, prepare(controller, body))


async def solved(controller: Controller, job: PreparedQuery) -> Outcome:
    """What came of it, or would by the plan if it is a dry run."""
    if job.is_dry_run:
        return controller.preview(job.query, policy=job.policy, tenant=job.tenant)
    return await controller.answer(
        job.query, policy=job.policy, learn=job.learns, tenant=job.tenant
    )


async def answer(controller: Controller, job: PreparedQuery) -> dict[str, Any]:
    return whole(job, await solved(controller, job))


def whole(job: PreparedQuery, outcome: Outcome) -> dict[str, Any]:
    """The chat completion of an outcome."""
    samples = reply.chosen(job, outcome)
    return reply.head(job, "chat.completion") | {
        "choices": [_choice(job, at, sample) for at, sample in enumerate(samples)],
        "usage": reply.usage(outcome),
        "thinkbudget": reply.account(job, outcome),
    }


def _choice(job: PreparedQuery, at: int, sample: Sample | None) -> dict[str, Any]:
    text, thinking = reply.content(job, sample), reply.reasoning(job, sample)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking is not None:
        message |= {"reasoning": thinking, "reasoning_content": thinking}
    if calls := reply.tool_calls(job, sample):
        message |= {"content": text or None, "tool_calls": calls}
    return {
        "index": at,
        "message": message,
        "logprobs": reply.logprobs(job, sample),
        "finish_reason": reply.finish_reason(sample),
    }


def _tools(request: ChatRequest) -> str | None:
    if not request.tools:
        return None
    return as_json([tool.model_dump(exclude_none=True) for tool in request.tools])


def _tool_choice(request: ChatRequest) -> str | None:
    choice = request.tool_choice
    if not request.tools or choice is None:
        return None
    return as_json(choice.model_dump() if isinstance(choice, NamedTool) else choice)


def _answer_spec(controller: Controller, request: ChatRequest, query_class: str) -> AnswerSpec:
    """As the request says, or the settings for its class."""
    if request.thinkbudget.answer is not None:
        return request.thinkbudget.answer.spec
    return controller.answer_specs.get(query_class, AnswerSpec())


def _class_of(controller: Controller, request: ChatRequest) -> str:
    wish = (request.metadata or {}).get("query_class")
    if wish is not None and not 0 < len(wish) <= 100:
        message = f"metadata.query_class must be a text of 1 to 100 characters, got {wish!r}"
        raise InvalidRequest(message, field="metadata.query_class")
    if named := request.thinkbudget.query_class or wish:
        return named
    if controller.classes is None:
        return DEFAULT_CLASS
    return controller.classes.of(request.messages[-1].plain)
