"""One name for several models, from small to large: the small one is asked first, and the next one
where the learned curves say that its accuracy is worth its tokens.

A model whose class is not learned yet is asked too, so that it is learned. A reply that must begin
before it is whole (a stream) comes from one model, which is chosen by the curves alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.api import chat
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome

LEARNED_QUERIES = 30
"""A class of fewer queries does not say yet what a model is worth."""


async def cascade(
    models: Mapping[str, Controller], route: Sequence[str], body: dict[str, Any]
) -> dict[str, Any]:
    """A whole chat completion by as many models of the route as pay; raises RequestError.

    `usage` counts the tokens of all, and `thinkbudget.route` tells of each.
    """
    whole, asked, best = dict[str, Any](), list[dict[str, Any]](), 0.0
    for at, name in enumerate(route):
        controller = models[name]
        job = chat.prepare(controller, body | {"model": name})
        outcome = await chat.solved(controller, job)
        row = {"model": name, "tokens": outcome.tokens.total, "chance": outcome.chance}
        asked.append(row)
        # The larger model is believed, unless both say how sure they are.
        if not whole or outcome.chance is None or outcome.chance >= best:
            whole, best = chat.whole(job, outcome), outcome.chance or 0.0
        rest = route[at + 1 :]
        if job.is_dry_run or not rest or not pays(models[rest[0]], outcome):
            break
    made = sum(row["tokens"] for row in asked)
    whole["usage"] |= {
        "completion_tokens": made,
        "total_tokens": whole["usage"]["prompt_tokens"] + made,
    }
    whole["thinkbudget"]["route"] = asked
    return whole


def pays(larger: Controller, outcome: Outcome) -> bool:
    """Whether a larger model would raise the chance of a right answer by more than its price."""
    expected = _net_value(larger, outcome.query.query_class, outcome.query.limits.value)
    if expected is None or outcome.chance is None:
        return True
    return expected > outcome.chance * outcome.query.limits.value


def choose(models: Mapping[str, Controller], route: Sequence[str], query_class: str) -> str:
    """The one model for a query of a class: the best by its curve, and the first unlearned one."""
    values = {name: _net_value(models[name], query_class, 1.0) for name in route}
    unlearned = [name for name in route if values[name] is None]
    return unlearned[0] if unlearned else max(route, key=lambda name: values[name] or 0.0)


def class_of(body: Mapping[str, Any]) -> str:
    """The class that a body names, whatever route it is for."""
    for place, key in (("thinkbudget", "query_class"), ("metadata", "query_class")):
        inner = body.get(place)
        if isinstance(inner, dict) and isinstance(inner.get(key), str):
            return str(inner[key])
    return chat.DEFAULT_CLASS


def route_card(name: str, models: Sequence[Controller]) -> dict[str, Any]:
    """A route as `/v1/models` lists it."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "thinkbudget",
        "max_model_len": min(each.info.max_model_len for each in models),
    }


def _net_value(controller: Controller, query_class: str, value: float) -> float | None:
    """The best that a model is expected to reach, less the price of it; None: nobody knows yet."""
    curve = controller.curves.curve(controller.info.model, query_class)
    if curve is None or curve.queries < LEARNED_QUERIES:
        return None
    price = controller.pricing.now()
    plans = curve.plan_table(price / value if value else price).plans
    found = [value * plan.forecast.accuracy - price * plan.forecast.tokens for plan in plans]
    return max(found, default=None)
