"""What every reply holds, whatever its route: the choices, why they ended, and what was spent."""

from typing import Any

from scheduler.admission import queue as waiting
from scheduler.admission.access import CALLER
from scheduler.api.prepared import PreparedQuery
from scheduler.api.protocol import ChatRequest
from scheduler.solving.explanation import explain
from scheduler.solving.outcome import Outcome
from workers.forcing.answer_stop import cut
from workers.sample import Sample, ScoredToken


def head(job: PreparedQuery, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{job.query.id}",
        "object": kind,
        "created": job.created,
        "model": job.request.model,
        "service_tier": waiting.tier_of(CALLER.get().urgency(job.query.sampling.priority)),
    }


def tier_of(request: ChatRequest) -> str:
    wish = request.service_tier
    return "default" if wish is None or wish == "auto" else wish


def chosen(job: PreparedQuery, outcome: Outcome) -> tuple[Sample | None, ...]:
    """The chains to be returned, best first, at most `n`; None alone where none has an answer."""
    if job.is_dry_run:
        return ()
    return outcome.best_first[: job.request.choices] or (None,)


def content(job: PreparedQuery, sample: Sample | None) -> str:
    """A chain's answer, ended before the first of the caller's stop texts."""
    return cut(sample.text, job.request.stops) if sample else ""


def reasoning(job: PreparedQuery, sample: Sample | None) -> str | None:
    """A chain's thinking, all of it, as a stream shows it; None where it is not wanted."""
    return sample.thinking if sample and job.request.shows_reasoning else None


def tool_calls(job: PreparedQuery, sample: Sample | None) -> list[dict[str, Any]]:
    calls = sample.tool_calls if sample else ()
    most = 1 if job.request.parallel_tool_calls is False else len(calls)
    return [
        {
            "id": f"call_{job.query.id[:16]}_{sample.chain if sample else 0}_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(calls[:most])
    ]


def finish_reason(sample: Sample | None) -> str:
    if sample and sample.tool_calls:
        return "tool_calls"
    return "stop" if sample and sample.complete else "length"


def logprobs(job: PreparedQuery, sample: Sample | None) -> dict[str, Any] | None:
    """Those of the answer's own tokens, as far as it is shown."""
    if job.request.most_logprobs is None or sample is None:
        return None
    return {"content": [_scored(token) for token in _shown(job, sample)], "refusal": None}


def _shown(job: PreparedQuery, sample: Sample) -> list[ScoredToken]:
    """A stop text has cut the end off: tokens that lie in it as a whole go with it."""
    tokens, hidden = list(sample.logprobs), sample.text[len(content(job, sample)) :]
    if hidden:
        spelt = b"".join(token.bytes for token in tokens)
        left = len(hidden.encode()) + len(spelt) - len(spelt.rstrip())
        while tokens and len(tokens[-1].bytes) <= left:
            left -= len(tokens.pop().bytes)
    return tokens


def _scored(token: ScoredToken) -> dict[str, Any]:
    top = [
        {"token": text, "logprob": logprob, "bytes": list(text.encode())}
        for text, logprob in token.top
    ]
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": list(token.bytes),
        "top_logprobs": top,
    }


def usage(outcome: Outcome) -> dict[str, Any]:
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


def tokens_so_far(prompt: int, made: int) -> dict[str, int]:
    """Usage in the middle of a stream: of the chain that is streamed, without the hidden ones."""
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def account(job: PreparedQuery, outcome: Outcome) -> dict[str, Any]:
    """The `thinkbudget` field of a reply: what was asked, decided, predicted and spent."""
    plan = outcome.plan
    forecast = plan.forecast if plan else None
    return {
        "policy": outcome.policy,
        "plan": plan.name if plan else None,
        "query_class": outcome.query.query_class,
        "effort": job.effort._asdict() if job.effort else None,
        "decision": _decision(job, outcome),
        "answer": outcome.answer,
        "stop_reason": outcome.stop_reason,
        "agreement": round(outcome.agreement, 4),
        "chance": None if outcome.chance is None else round(outcome.chance, 4),
        "correct": outcome.correct,
        "predicted_accuracy": round(forecast.accuracy, 4) if forecast else None,
        "predicted_tokens": round(forecast.tokens, 1) if forecast else None,
        "price": outcome.price,
        "spent": _spent(outcome),
        "violations": list(outcome.violations),
        "outcome_id": outcome.query.id,
    } | _more(job, outcome)


def _more(job: PreparedQuery, outcome: Outcome) -> dict[str, Any]:
    """Why it got its plan, and its line of the outcome log, where the request asks for them."""
    found: dict[str, Any] = {}
    if job.request.thinkbudget.explain:
        found["explanation"] = explain(outcome, reads_curves=job.policy.options.reads_curves)
    if job.request.thinkbudget.trace:
        found["trace"] = outcome.as_dict()
    return found


def _decision(job: PreparedQuery, outcome: Outcome) -> dict[str, Any]:
    """What was dispatched in all; `extra_choices` are chains drawn only to be returned (`n`)."""
    steps = [(step, step.budget) for step in outcome.considered.steps if step.budget]
    samples = sum(len(step.chains) for step, _ in steps if step.kind in ("draw", "branch"))
    extends = any(step.kind == "extend" or budget.extensions for step, budget in steps)
    caps = [budget.max_thinking_tokens for _, budget in steps]
    return {
        "kind": "vote" if samples > 1 else "extend" if extends else "single",
        "samples": samples,
        "extra_choices": sum(len(step.chains) for step, _ in steps if step.kind == "choices"),
        "budget_tokens": max(caps, default=None),
        "clipped_from": job.clipped,
    }


def _spent(outcome: Outcome) -> dict[str, Any]:
    causes = {record.sample.chain: record.sample.stop_cause for record in outcome.records}
    best = outcome.chosen
    return {
        "tokens": outcome.tokens.total,
        "by_kind": outcome.tokens._asdict(),
        "selected_tokens": best.thinking_tokens + best.answer_tokens if best else 0,
        "chains": len(causes),
        "samples_finished": sum(cause not in ("cancelled", "lost") for cause in causes.values()),
        "samples_cancelled": sum(cause == "cancelled" for cause in causes.values()),
        "extensions": max((r.sample.extensions for r in outcome.records), default=0),
        "reward_calls": outcome.reward_calls,
        "retries": outcome.retries,
        "seconds": round(outcome.seconds, 4),
    }


def headers(job: PreparedQuery, account: dict[str, Any] | None = None) -> dict[str, str]:
    """What replies say in headers; `account` is the account, where it is known in time."""
    values = {}
    if job.ignored:
        values["x-thinkbudget-ignored-fields"] = ", ".join(job.ignored)
    if account is not None:
        decision = account["decision"]
        values["x-thinkbudget-decision"] = (
            f"{decision['kind']}; policy={account['policy']}; samples={decision['samples']}; "
            f"budget_tokens={decision['budget_tokens']}"
        )
    return values
