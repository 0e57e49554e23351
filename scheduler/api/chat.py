"""From a chat request to a query and its policy, and from the outcome to OpenAI's shapes.

`complete` and `stream` are all that HTTP, batch jobs and `ask` need; neither knows of a network.
"""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any, NamedTuple

from policies import POLICIES, build
from policies.base import Limits, Message, Policy, Query
from policies.plan import MOST_TOKENS, Budget
from scheduler.api.protocol import ChatRequest, parse
from scheduler.controller import Controller
from scheduler.errors import InvalidRequest, RequestError, UnknownModel
from scheduler.outcome import Outcome
from workers.sample import Accepted, Delta

DEFAULT_CLASS = "default"
KEEP_ALIVE_SECONDS = 10.0
KEEP_ALIVE = ": keep-alive\n\n"
DONE = "data: [DONE]\n\n"


class Job(NamedTuple):
    """A checked request, ready to be answered."""

    request: ChatRequest
    query: Query
    policy: Policy


def prepare(controller: Controller, body: object) -> Job:
    """Check a request body against the model and the policies; refuse it by the field at fault."""
    request = parse(body)
    model = controller.info.model
    if request.model not in (model, model.rsplit("/", 1)[-1]):
        raise UnknownModel(request.model, model)
    options, wish = request.thinkbudget, (request.metadata or {}).get("query_class")
    if wish is not None and not _is_name(wish):
        message = f"metadata.query_class must be a text of at most 100 characters, got {wish!r}"
        raise InvalidRequest(message, field="metadata.query_class")
    query = Query(
        id=uuid.uuid4().hex,
        messages=tuple(Message(turn.role, turn.plain) for turn in request.messages),
        query_class=options.query_class or wish or _class_of(controller, request),
        limits=Limits(
            max_total_tokens=options.max_total_tokens,
            deadline_seconds=options.deadline_seconds,
            target_accuracy=options.target_accuracy,
            value=options.value,
        ),
        reference=options.reference_answer,
        temperature=request.temperature,
    )
    if not any(turn.content.strip() for turn in query.messages):
        raise InvalidRequest("messages: all of them are empty", field="messages")
    return Job(request, query, _policy(controller, request))


def _policy(controller: Controller, request: ChatRequest) -> Policy:
    """The policy that the request asks for; what it leaves open is as the server has it."""
    wish, own = request.thinkbudget, _options(controller.policy)
    name = wish.policy or controller.policy.name
    # The answer's reserve belongs to the server's model, whatever the policy.
    given = own if name == controller.policy.name else {"answer_tokens": own["answer_tokens"]}
    options = given | wish.policy_options
    try:
        policy = build(name, **options)
    except ValueError as error:
        blamed = [*wish.policy_options, *given] if name in POLICIES else []
        named = [key for key in blamed if re.search(rf"\b{re.escape(key)}\b", str(error))]
        field = named[0] if named else "policy"
        raise InvalidRequest(str(error), field=f"thinkbudget.{field}") from None
    room = controller.info.max_model_len
    for field in ("max_thinking_tokens", "min_thinking_tokens"):
        if (options.get(field) or 0) > room:
            message = f"{field} is {options[field]}, more than the context of {room} tokens"
            raise InvalidRequest(message, field=f"thinkbudget.{field}")
    return policy if request.most_tokens is None else _bounded(policy, request.most_tokens)


def _bounded(policy: Policy, most: int) -> Policy:
    """The policy with every chain within OpenAI's limit, which counts the thinking in."""
    options = _options(policy)
    answer = min(options["answer_tokens"], max(1, most // 4))
    cap = options["max_thinking_tokens"]
    least, extensions = options.get("min_thinking_tokens", 0), options.get("extensions", 0)
    budget = Budget(MOST_TOKENS if cap is None else cap, least, extensions).capped(most - answer)
    bounded = {
        "answer_tokens": answer,
        "max_thinking_tokens": budget.max_thinking_tokens,
        "min_thinking_tokens": budget.min_thinking_tokens,
        "extensions": budget.extensions,
    }
    return build(policy.name, **{name: bounded.get(name, options[name]) for name in options})


def _class_of(controller: Controller, request: ChatRequest) -> str:
    if controller.classes is None:
        return DEFAULT_CLASS
    return controller.classes.of(request.messages[-1].plain)


def _is_name(wish: object) -> bool:
    """Half of a surrogate pair could not be sent back."""
    if not isinstance(wish, str) or not 0 < len(wish) <= 100:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in wish)


def _options(policy: Policy) -> dict[str, Any]:
    return {field.name: getattr(policy, field.name) for field in fields(policy)}  # type: ignore[arg-type]


async def complete(controller: Controller, body: object) -> dict[str, Any]:
    """A whole chat completion; raises RequestError."""
    return await answer(controller, prepare(controller, body))


async def answer(controller: Controller, job: Job) -> dict[str, Any]:
    outcome = await controller.answer(
        job.query,
        policy=job.policy,
        learn=job.request.thinkbudget.learn,
        tenant=job.request.tenant,
    )
    message: dict[str, Any] = {"role": "assistant", "content": _content(job, outcome)}
    if outcome.chosen:
        thinking = outcome.chosen.thinking.strip()
        message |= {"reasoning": thinking, "reasoning_content": thinking}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(outcome),
    }
    return _head(job, "chat.completion") | {
        "choices": [choice],
        "usage": _usage(outcome),
        "thinkbudget": _account(outcome),
    }


async def stream(controller: Controller, job: Job) -> AsyncIterator[str]:
    """Server-sent events: the first chain's thinking live, the winner's answer, usage, [DONE].

    Raises RequestError before the first event when the request is refused; afterwards an error is
    an event of its own. Comments keep the connection open while nothing is to be said.
    """
    lines: asyncio.Queue[Accepted | Delta | None] = asyncio.Queue()
    options = job.request.thinkbudget
    answering = asyncio.create_task(
        controller.answer(
            job.query,
            policy=job.policy,
            watch=lines.put_nowait,
            learn=options.learn,
            tenant=job.request.tenant,
        )
    )
    answering.add_done_callback(lambda _: lines.put_nowait(None))
    begun = False
    said = ""
    try:
        while True:
            try:
                event = await asyncio.wait_for(lines.get(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            if not begun:
                if event is None:
                    answering.result()  # raises what refused the request
                begun = True
                yield _chunk(job, {"role": "assistant", "content": ""})
            if event is None:
                break
            if isinstance(event, Delta):
                text = event.text if said else event.text.lstrip()
                if event.phase == "answer" and job.request.stops:
                    continue  # where it ends is known at the end
                if event.phase == "answer":
                    said += text
                elif event.text:
                    thought = {"reasoning": event.text, "reasoning_content": event.text}
                    yield _chunk(job, thought)
                    continue
                if text:
                    yield _chunk(job, {"content": text})
        try:
            outcome = answering.result()
        except RequestError as error:
            yield f"data: {json.dumps(error.as_dict())}\n\n"
        else:
            rest = _content(job, outcome)
            if rest and not said:
                yield _chunk(job, {"content": rest})
            yield _chunk(job, {}, finish=_finish(outcome), extra=_account(outcome))
            if job.request.stream_options and job.request.stream_options.include_usage:
                last = _head(job, "chat.completion.chunk")
                yield _event(last | {"choices": [], "usage": _usage(outcome)})
        yield DONE
    finally:
        answering.cancel()


def _content(job: Job, outcome: Outcome) -> str:
    """The chosen chain's answer, ended before the first of the caller's stop texts."""
    text = outcome.chosen.text if outcome.chosen else ""
    for stop in job.request.stops:
        text = text.split(stop, 1)[0] if stop else text
    return text


def _finish(outcome: Outcome) -> str:
    return "stop" if outcome.chosen and outcome.chosen.complete else "length"


def _usage(outcome: Outcome) -> dict[str, Any]:
    """Every token generated for the query, those of chains that are not shown included."""
    tokens = outcome.tokens
    return {
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": tokens.total,
        "total_tokens": outcome.prompt_tokens + tokens.total,
        "completion_tokens_details": {
            f"{kind}_tokens": count for kind, count in tokens._asdict().items()
        },
    }


def _account(outcome: Outcome) -> dict[str, Any]:
    """The `thinkbudget` field of a reply: what was decided, predicted and spent."""
    plan = outcome.plan
    forecast = plan.forecast if plan else None
    return {
        "policy": outcome.policy,
        "plan": plan.name if plan else None,
        "query_class": outcome.query.query_class,
        "answer": outcome.answer,
        "stop_reason": outcome.stop_reason,
        "agreement": round(outcome.agreement, 4),
        "predicted_accuracy": round(forecast.accuracy, 4) if forecast else None,
        "predicted_tokens": round(forecast.tokens, 1) if forecast else None,
        "price": outcome.price,
        "spent": {
            "tokens": outcome.tokens.total,
            "by_kind": outcome.tokens._asdict(),
            "selected_tokens": outcome.chosen.thinking_tokens + outcome.chosen.answer_tokens
            if outcome.chosen
            else 0,
            "chains": len({record.sample.chain for record in outcome.records}),
            "extensions": max((r.sample.extensions for r in outcome.records), default=0),
            "seconds": round(outcome.seconds, 4),
        },
        "violations": list(outcome.violations),
        "outcome_id": outcome.query.id,
    }


def _head(job: Job, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{job.query.id}",
        "object": kind,
        "created": int(time.time()),
        "model": job.request.model,
    }


def _chunk(
    job: Job,
    delta: dict[str, Any],
    *,
    finish: str | None = None,
    extra: dict[str, Any] | None = None,
) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _head(job, "chat.completion.chunk") | {"choices": [choice]}
    return _event(chunk | {"thinkbudget": extra} if extra else chunk)


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
