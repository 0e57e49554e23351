"""POST /v1/feedback: how good an answer was, said after the reply.

{"outcome_id": "...", "reward": 0 to 1} or {"outcome_id": "...", "rating": "up" | "down"}
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from scheduler.admission.access import CALLER
from scheduler.api.endpoint import Endpoint
from scheduler.api.protocol import checked
from scheduler.curves.feedback import Label
from scheduler.errors import InvalidRequest, Labelled, Overloaded, RateLimited, UnknownOutcome

RATINGS = {"up": 1.0, "down": 0.0}


class FeedbackRequest(BaseModel):
    """`source` says who judged; it is taken and only logged."""

    model_config = ConfigDict(extra="forbid")

    outcome_id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    reward: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None
    rating: Literal["up", "down"] | None = None
    source: Annotated[str, StringConstraints(max_length=100)] | None = None


async def take(endpoint: Endpoint, body: object) -> dict[str, Any]:
    """The reply; raises RequestError where the label cannot count."""
    request = checked(FeedbackRequest, body)
    if (request.reward is None) == (request.rating is None):
        raise InvalidRequest("say either reward or rating", field="reward")
    reward = RATINGS[request.rating] if request.rating else request.reward
    assert reward is not None
    caller = CALLER.get()
    label = Label(request.outcome_id, caller.name, reward, is_bounded=caller.role != "admin")
    controller = endpoint.first
    try:
        result = await controller.curves.label(label)
    except ConnectionError:
        raise Overloaded("the curve store is away; try again") from None
    if result.record is not None and result.record.model in endpoint.models:
        controller = endpoint.models[result.record.model]
    controller.metrics.feedback.labels(result.status).inc()
    if result.status == "unknown":
        raise UnknownOutcome(request.outcome_id)
    if result.status == "conflict":
        raise Labelled(request.outcome_id)
    if result.status == "limited":
        raise RateLimited(
            "this key has given its labels of the hour",
            code="rate_limit_exceeded",
            retry_after=max(1, round(result.retry_after)),
        )
    if result.status != "repeated":
        controller.labelled(request.outcome_id, reward)
    if controller.store is not None and result.status in ("learned", "noted"):
        controller.store.put_label(
            request.outcome_id, reward, tenant=caller.name, source=request.source or ""
        )
    if result.record and (predicted := result.record.observation.predicted) is not None:
        controller.pricing.check(predicted, reward)
    return {
        "object": "thinkbudget.feedback",
        "outcome_id": request.outcome_id,
        "reward": reward,
        "status": result.status,
    }
