"""OpenTelemetry spans of queries, rounds, engine calls and chains. The only importer of it.

Names and attributes are those of the GenAI semantic conventions, and `thinkbudget.*` beside them.
No text of a question, a thinking or an answer is in any of them. A parent is passed along and
never made current: asynchronous generators run in the contexts of whoever reads them.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from scheduler.tracing.settings import TracingConfig
from workers.engine import SampleRequest
from workers.sample import Sample

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

CHAT: Final = "chat"
PROVIDER: Final = "thinkbudget"

_QUERY: ContextVar["Context | None"] = ContextVar("query_span", default=None)


@dataclass(slots=True)
class Spans:
    """Without a tracer nothing is recorded, and OpenTelemetry is not imported."""

    tracer: "Tracer | None" = None
    model: str = ""
    #: The spans of running rounds, by what the engine calls their queries.
    _rounds: dict[str, "Context"] = field(default_factory=dict)

    @contextmanager
    def query(
        self, parent: Mapping[str, str], attributes: Mapping[str, Any], *, request_id: str = ""
    ) -> Iterator["Span | None"]:
        """One query from its arrival to its outcome; `parent` has the caller's trace headers."""
        if self.tracer is None:
            yield None
            return
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        above = TraceContextTextMapPropagator().extract(parent)
        named: dict[str, Any] = {
            "gen_ai.operation.name": CHAT,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": self.model,
            "thinkbudget.request_id": request_id or None,
        }
        span = self.tracer.start_span(
            f"{CHAT} {self.model}",
            context=above,
            kind=SpanKind.SERVER,
            attributes=_with_values(named | dict(attributes)),
        )
        token = _QUERY.set(set_span_in_context(span, above))
        try:
            yield span
        except BaseException as error:
            failed(span, error)
            raise
        finally:
            _QUERY.reset(token)
            span.end()

    def round(self, request: SampleRequest) -> "Span | None":
        """A round of sampling of the query that is being answered; the caller ends it."""
        if self.tracer is None:
            return None
        from opentelemetry.trace import set_span_in_context

        budget, above = request.budget, _QUERY.get()
        span = self.tracer.start_span(
            f"round {_kind(request)}",
            context=above,
            attributes=_with_values({
                "thinkbudget.round.kind": _kind(request),
                "thinkbudget.round.chains": len(request.chains),
                "thinkbudget.budget.thinking_tokens": budget.max_thinking_tokens,
                "thinkbudget.budget.answer_tokens": budget.answer_tokens,
                "thinkbudget.budget.extensions": budget.extensions,
            }),
        )  # fmt: skip
        self._rounds[request.query] = set_span_in_context(span, above)
        return span

    def round_ended(self, request: SampleRequest, span: "Span | None") -> None:
        if span is not None:
            self._rounds.pop(request.query, None)
            span.end()

    def call(self, request: SampleRequest) -> "Span | None":
        """One call to one engine, within the round of its query; the caller ends it."""
        if self.tracer is None:
            return None
        from opentelemetry.trace import SpanKind

        sampling = request.sampling
        return self.tracer.start_span(
            f"{CHAT} {self.model}",
            context=self._rounds.get(request.query),
            kind=SpanKind.CLIENT,
            attributes=_with_values({
                "gen_ai.operation.name": CHAT,
                "gen_ai.provider.name": PROVIDER,
                "gen_ai.request.model": self.model,
                "gen_ai.request.choice.count": len(request.chains),
                "gen_ai.request.max_tokens": request.budget.most_tokens,
                "gen_ai.request.temperature": sampling.temperature,
                "gen_ai.request.top_p": sampling.top_p,
            }),
        )  # fmt: skip

    def chain(self, request: SampleRequest, sample: Sample, began: int) -> None:
        """A chain that came back; `began` is when its round did, in nanoseconds of the epoch."""
        if self.tracer is None:
            return
        span = self.tracer.start_span(
            f"chain {sample.chain}",
            context=self._rounds.get(request.query),
            start_time=began,
            attributes=_with_values({
                "thinkbudget.chain.number": sample.chain,
                "thinkbudget.chain.thinking_tokens": sample.thinking_tokens,
                "thinkbudget.chain.answer_tokens": sample.answer_tokens,
                "thinkbudget.chain.extensions": sample.extensions,
                "thinkbudget.chain.migrations": sample.migrations,
                "thinkbudget.engine": sample.replica or None,
                "gen_ai.usage.output_tokens": sample.tokens,
                "gen_ai.response.finish_reasons": (sample.stop_cause,),
            }),
        )  # fmt: skip
        if sample.stop_cause == "lost":
            failed(span, "engine_died")
        span.end()


def annotate(span: "Span | None", attributes: Mapping[str, Any]) -> None:
    """Put attributes on a span, if there is one."""
    if span is not None:
        span.set_attributes(_with_values(attributes))


def failed(span: "Span | None", error: BaseException | str) -> None:
    """Mark a span as failed by an error's code, or by its type where it has none."""
    if span is not None:
        from opentelemetry.trace import Status, StatusCode

        kind = error if isinstance(error, str) else getattr(error, "code", type(error).__name__)
        span.set_attribute("error.type", str(kind))
        span.set_status(Status(StatusCode.ERROR))


def make_spans(config: TracingConfig, model: str) -> Spans:
    """Spans that are sent as the settings say; of none where they name no endpoint."""
    if config.endpoint is None:
        return Spans()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(config.share),
        resource=Resource.create({SERVICE_NAME: PROVIDER}),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=config.endpoint)))
    return Spans(provider.get_tracer(PROVIDER), model)


def require_opentelemetry(config: TracingConfig) -> None:
    """Raise ValueError where spans are asked for and could not be sent."""
    if config.endpoint is None:
        return
    for module in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            there = find_spec(module)
        except ModuleNotFoundError:
            there = None
        if there is None:
            raise ValueError(
                "tracing.endpoint needs OpenTelemetry: pip install 'thinkbudget[otel]'"
            )


def now() -> int:
    """Nanoseconds of the epoch, as spans count."""
    return time.time_ns()


def _kind(request: SampleRequest) -> str:
    if not request.parents:
        return "draw"
    own = all(
        one.chain == chain for one, chain in zip(request.parents, request.chains, strict=True)
    )
    return "extend" if own else "branch"


def _with_values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}
