"""What is logged of one request when it has ended: by whom, how decided, at what cost; no texts.

The trace of the request that is being answered is a context variable: it reaches whatever is done
on the request's behalf, in whichever task, and needs no place in what is passed down.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

from policies.base import Query
from scheduler.errors import RequestError
from scheduler.solving.outcome import Outcome


@dataclass(slots=True)
class Trace:
    """`outcome` is "ok" or an error's code; `first_content` is in seconds since the start."""

    request_id: str = ""
    policy: str = ""
    query_class: str = ""
    tenant: str = ""
    model: str = ""
    outcome: str = "ok"
    outcome_id: str = ""
    stop_reason: str | None = None
    plan: str | None = None
    tokens: int = 0
    first_content: float | None = None
    replayed: bool = False
    #: The headers that name the caller's span.
    parent: Mapping[str, str] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def note_content(self) -> None:
        """A piece of an answer is there; only the first call counts."""
        if self.first_content is None:
            self.first_content = self.seconds

    def settled(self, outcome: Outcome) -> None:
        self.note_content()
        self.stop_reason, self.tokens = outcome.stop_reason, outcome.tokens.total
        self.plan = outcome.plan.name if outcome.plan else None

    def adopt(self, other: Self) -> None:
        """Tell what was done for another request with the same reply; its tokens count once."""
        for name in ("policy", "query_class", "tenant", "model", "outcome", "outcome_id"):
            setattr(self, name, getattr(other, name))
        self.stop_reason, self.plan = other.stop_reason, other.plan
        self.first_content = other.first_content
        self.tokens = 0 if self.replayed else other.tokens

    def as_dict(self) -> dict[str, Any]:
        """Callers' names for their users may be personal: they are logged as a hash."""
        tenant = hashlib.sha256(self.tenant.encode()).hexdigest()[:12] if self.tenant else None
        return {
            "request_id": self.request_id,
            "outcome": self.outcome,
            "outcome_id": self.outcome_id or None,
            "tenant": tenant,
            "model": self.model or None,
            "policy": self.policy or None,
            "class": self.query_class or None,
            "plan": self.plan,
            "stop_reason": self.stop_reason,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 4),
            "first_content_seconds": self.first_content and round(self.first_content, 4),
            "replayed": self.replayed,
        }


TRACE: ContextVar[Trace] = ContextVar("trace")


def request_id() -> str | None:
    """None outside of HTTP."""
    trace = TRACE.get(None)
    return trace.request_id if trace else None


def span_attributes(outcome: Outcome) -> dict[str, Any]:
    """What the span of an answered query says of it."""
    return {
        "gen_ai.response.model": outcome.model,
        "gen_ai.usage.input_tokens": outcome.prompt_tokens,
        "gen_ai.usage.output_tokens": outcome.tokens.total,
        "gen_ai.response.finish_reasons": (outcome.stop_reason,),
        "thinkbudget.plan": outcome.plan.name if outcome.plan else None,
        "thinkbudget.price": outcome.price,
        "thinkbudget.chains": len({record.sample.chain for record in outcome.records}),
        "thinkbudget.agreement": outcome.agreement,
    } | {f"thinkbudget.tokens.{kind}": n for kind, n in outcome.tokens._asdict().items()}


@contextmanager
def tracing(query: Query, *, policy: str, tenant: str) -> Iterator[Trace]:
    """The request's trace while a query of it is answered; a trace of its own outside of HTTP."""
    trace = TRACE.get(None) or Trace()
    trace.policy, trace.query_class = policy, query.query_class
    trace.outcome_id, trace.tenant = query.id, tenant
    try:
        yield trace
    except RequestError as error:
        trace.outcome = error.code
        raise
