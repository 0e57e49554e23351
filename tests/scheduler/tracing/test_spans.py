"""What is recorded of a query as spans, by OpenTelemetry's own SDK, and when nothing is."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from scheduler.engines.failover import FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.solving.controller import Controller
from scheduler.tracing.settings import TracingConfig
from scheduler.tracing.spans import Spans, make_spans
from scheduler.tracing.traced import TracedEngine, TracedPool, traced
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KNOWN = {
    value
    for name, value in vars(gen_ai_attributes).items()
    if name.startswith("GEN_AI_") and isinstance(value, str)
}


class Recorder:
    """Spans kept in memory, and a controller on engines that may die."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(provider.get_tracer("test"), "simulated")
        self.pool = LocalEnginePool(lambda name: SimulatedEngine(replica=name), ("one", "two"))

    async def controller(self, policy: str, **options: Any) -> Controller:
        failover = FailoverEngine(TracedPool(self.pool, self.spans))
        controller = await make_controller(
            TracedEngine(failover, self.spans), policy=policy, **options
        )
        controller.spans = self.spans
        return controller

    @property
    def finished(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, start: str, kind: SpanKind = SpanKind.INTERNAL) -> list[ReadableSpan]:
        return [s for s in self.finished if s.name.startswith(start) and s.kind is kind]


def asked(
    recorder: Recorder, *, policy: str = "fixed", headers: dict[str, str] | None = None,
    body: dict[str, Any] | None = None, **options: Any,
) -> httpx.Response:  # fmt: skip
    async def main() -> httpx.Response:
        async with client_of(await recorder.controller(policy, **options)) as client:
            return await client.post(CHAT, json=body or chat(), headers=headers or {})

    return run_virtual(main())


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def test_a_query_has_its_rounds_and_a_round_its_calls_and_chains() -> None:
    recorder = Recorder()
    reply = asked(recorder, policy="majority", samples=3)
    assert reply.status_code == 200, reply.text
    (query,) = recorder.named("chat simulated", SpanKind.SERVER)
    (round_,) = recorder.named("round draw")
    (call,) = recorder.named("chat simulated", SpanKind.CLIENT)
    chains = recorder.named("chain ")
    assert parent_of(query) is None
    assert parent_of(round_) == id_of(query)
    assert [parent_of(span) for span in (call, *chains)] == [id_of(round_)] * 4
    assert len(chains) == 3
    usage = reply.json()["usage"]
    assert attributes(query)["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert attributes(query)["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    taken = [attributes(span)["gen_ai.usage.output_tokens"] for span in chains]
    assert sum(taken) == attributes(call)["gen_ai.usage.output_tokens"]
    assert attributes(call)["thinkbudget.engine"] in ("one", "two")


@pytest.mark.parametrize("stream", [False, True])
def test_the_span_of_a_caller_is_the_parent(stream: bool) -> None:
    recorder = Recorder()
    header = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
    asked(recorder, headers=header, body=chat(stream=stream))
    (query,) = recorder.named("chat simulated", SpanKind.SERVER)
    assert parent_of(query) == int(SPAN_ID, 16)
    assert {span.context.trace_id for span in recorder.finished if span.context} == {
        int(TRACE_ID, 16)
    }


@pytest.mark.parametrize("header", ["nonsense", "00-0-0-01", "ff-" + "0" * 40])
def test_a_header_that_cannot_be_read_starts_a_trace_of_its_own(header: str) -> None:
    recorder = Recorder()
    assert asked(recorder, headers={"traceparent": header}).status_code == 200
    (query,) = recorder.named("chat simulated", SpanKind.SERVER)
    assert parent_of(query) is None


def test_a_caller_that_does_not_sample_is_heeded() -> None:
    recorder = Recorder()
    asked(recorder, headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"})
    assert recorder.finished == ()


def test_names_are_those_of_the_conventions_and_no_text_is_told() -> None:
    recorder = Recorder()
    asked(recorder, policy="fixed", extensions=2, body=chat("easy question of the surgeon"))
    assert recorder.finished
    for span in recorder.finished:
        told = {name for name in attributes(span) if name.startswith("gen_ai.")}
        assert told <= KNOWN
        assert "surgeon" not in str(attributes(span)) + span.name


def test_a_refused_query_says_why() -> None:
    recorder = Recorder()
    reply = asked(recorder, body=chat(thinkbudget={"max_total_tokens": 1}))
    (query,) = recorder.named("chat simulated", SpanKind.SERVER)
    assert query.status.status_code is StatusCode.ERROR
    assert attributes(query)["error.type"] == reply.json()["error"]["code"]


async def running(pool: LocalEnginePool) -> list[str]:
    """The engines that have work."""
    loads = {name: await one.engine.load() for name, one in pool.replicas.items()}
    return [name for name, load in loads.items() if load.running]


def test_a_round_goes_on_at_another_engine_as_a_second_call() -> None:
    recorder = Recorder()

    async def main() -> None:
        controller = await recorder.controller("majority", samples=2)
        async with client_of(controller) as client:
            asking = asyncio.create_task(client.post(CHAT, json=chat()))
            while not (busy := await running(recorder.pool)):
                await asyncio.sleep(0.01)
            recorder.pool.kill(busy[0])
            assert (await asking).status_code == 200

    run_virtual(main())
    calls = recorder.named("chat simulated", SpanKind.CLIENT)
    assert len(calls) == 2
    assert [call.status.status_code for call in calls].count(StatusCode.ERROR) == 1
    assert len(recorder.named("round draw")) == 1


def test_nothing_is_recorded_unless_an_endpoint_is_named() -> None:
    engine = SimulatedEngine()
    spans = make_spans(TracingConfig(), "simulated")
    assert spans.tracer is None
    assert traced(engine, spans) is engine


def test_an_endpoint_is_an_address() -> None:
    with pytest.raises(ValueError, match="endpoint must begin with http:// or https://, got 'me'"):
        TracingConfig(endpoint="me")
    made = make_spans(TracingConfig("http://127.0.0.1:9/v1/traces", share=0.0), "simulated")
    assert made.tracer is not None
