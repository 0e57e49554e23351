"""What a controller counts, as Prometheus reads it.

Every controller has a registry of its own, so two in one process do not mix. No label can grow
without bound: callers name their classes, policies their plans, and past the first fifty of either
the rest counts as `other`.
"""

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0 as CONTENT_TYPE
from prometheus_client.registry import Collector

from policies.curves.accuracy_estimate import AccuracyEstimate
from scheduler.solving.outcome import Outcome
from scheduler.solving.outcome_sink import SinkCounts
from scheduler.solving.trace import Trace
from workers.engine import ReplicaStatus

__all__ = ["CONTENT_TYPE", "MAX_CLASSES", "MAX_PLANS", "OTHER", "Metrics", "labelled_text"]

PREFIX: Final = "thinkbudget"
MAX_CLASSES: Final = 50
MAX_PLANS: Final = 50
OTHER: Final = "other"
CUT_SHORT: Final = ("early_exit", "unsure", "rejected", "cancelled", "deadline")
"""Why a chain was ended before it would have ended itself."""
STORED: Final = ("spooled", "written", "known", "dropped")
REJECTED: Final = ("rate_limit_exceeded", "insufficient_quota", "queue_full", "draining")

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)
_TOKENS = tuple(2**power for power in range(5, 18))
_SHARES = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """`clock` gives seconds; the age of a curve is measured by it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._classes: set[str] = set()
        self._plans: set[str] = set()
        self._counted: dict[tuple[str, str], int] = {}
        self._curves: dict[str, tuple[float, float]] = {}
        asked = ("policy", "class")
        self.requests = self._counter("requests", "Requests that ended.", *asked, "outcome")
        self.latency = self._histogram("request_latency_seconds", "Whole requests.", _SECONDS)
        self.first_content = self._histogram(
            "time_to_first_content_seconds", "Until the first piece of an answer.", _SECONDS
        )
        self.tokens = self._counter("tokens", "Tokens of answered queries.", "kind")
        chosen = ("class", "plan")
        self.plan_queries = self._counter("plan_queries", "Answered queries.", *chosen)
        self.plan_tokens = self._counter("plan_tokens", "Tokens of answered queries.", *chosen)
        self.budget = self._histogram(
            "budget_tokens", "Thinking that a plan allows one chain.", _TOKENS, "policy"
        )
        self.samples = self._counter("samples", "Chains, by how they ended.", "outcome")
        self.extensions = self._counter("extensions", 'Extensions ("Wait") that were forced.')
        self.early_stops = self._counter("early_stops", "Chains that were ended early.", "reason")
        self.agreement = self._histogram(
            "vote_agreement", "Share of the votes that the answer got.", _SHARES
        )
        self.replays = self._counter(
            "replays", "Chains that went on elsewhere (moved) or were drawn anew (lost).", "reason"
        )
        self.engine_events = self._counter(
            "engine_events", "Engines' deaths, and what came of them.", "kind"
        )
        self.comparisons = self._counter(
            "answer_comparisons",
            "Pairs of answers, by what compared them: fast, math, text, json; slow, down, killed, "
            "busy, hostile and unreadable are formulas of which only the spelling was compared.",
            "method",
        )
        self.rejections = self._counter("admission_rejections", "Not admitted.", "reason")
        self.reward_calls = self._counter("reward_calls", "Thinkings that a verifier has judged.")
        self.violations = self._counter("violations", "Budgets that were broken.", "kind")
        self.feedback = self._counter("feedback", "Labels that came later.", "verdict")
        self.shadow_decisions = self._counter(
            "shadow_decisions", "First decisions of the shadow policy against the served.", "result"
        )
        self.shadow_answers = self._counter(
            "shadow_answers", "Its answers, as far as the served chains tell.", "result"
        )
        self.shadow_tokens = self._counter(
            "shadow_tokens", "Tokens of queries whose shadow answer is known.", "of"
        )
        self.store_records = self._counter(
            "store_records",
            "Lines for the store: spooled, written, known (sent twice, kept once), dropped.",
            "kind",
        )
        self.store_waiting = self._gauge("store_queue_depth", "Lines the store does not have yet.")
        self.store_bytes = self._gauge("store_queue_bytes", "Bytes the store does not have yet.")
        self.engine_up = self._gauge("engine_up", "Whether an engine can serve: 0 or 1.")
        self.engines = self._gauge(
            "engines", "Engines: serving, or gone within the last minute.", "state"
        )
        self.owed_tokens = self._gauge(
            "owed_tokens", "Tokens that running and waiting chains are expected to generate yet."
        )
        self.queue_depth = self._gauge("queue_depth", "Requests that wait to be admitted.")
        self.running = self._gauge("running", "Requests that are being answered.")
        self.price = self._gauge("price", "Accuracy that one token must buy, without any load.")
        self.served = self._gauge(
            "served_accuracy",
            "Share of served answers that were right, estimated; low and high are its 95 % "
            "interval, which holds at any time.",
            *chosen,
            "bound",
        )
        self.tasks = self._gauge("tasks", "Tasks of this gateway's event loop.")
        self.curve_age = self._gauge("curve_age_seconds", "Since the curve last moved.", "class")
        self.curve_queries = self._gauge("curve_queries", "Queries a curve stands on.", "class")

    def settled(self, outcome: Outcome) -> None:
        """Count what an answered query took, chain by chain."""
        for kind, count in zip(outcome.tokens._fields, outcome.tokens, strict=True):
            if count:
                self.tokens.labels(kind).inc(count)
        if outcome.plan is not None:
            self.budget.labels(outcome.policy).observe(outcome.plan.budget.max_thinking_tokens)
        extensions: dict[int, int] = {}
        samples = [record.sample for record in outcome.records]
        for sample in samples:
            extensions[sample.chain] = max(sample.extensions, extensions.get(sample.chain, 0))
        for cause, count in Counts(sample.stop_cause for sample in samples).items():
            self.samples.labels(cause).inc(count)
            if cause in CUT_SHORT:
                self.early_stops.labels(cause).inc(count)
            if cause == "lost":
                self.replays.labels("lost").inc(count)
        if migrations := sum(sample.migrations for sample in samples):
            self.replays.labels("moved").inc(migrations)
        for kind in outcome.violations:
            self.violations.labels(kind).inc()
        self.extensions.inc(sum(extensions.values()))
        self.reward_calls.inc(outcome.reward_calls)
        if len(extensions) > 1:
            self.agreement.observe(outcome.agreement)
        label = self.class_label(outcome.query.query_class)
        plan = self._plan_label(outcome.plan.name if outcome.plan else "none")
        self.plan_queries.labels(label, plan).inc()
        self.plan_tokens.labels(label, plan).inc(outcome.tokens.total)
        if label != OTHER:
            self._saw_curve(label, outcome.considered.queries)

    def ended(self, trace: Trace) -> None:
        """Count one request."""
        if trace.outcome in REJECTED:
            self.rejections.labels(trace.outcome).inc()
        label = self.class_label(trace.query_class) if trace.query_class else ""
        self.requests.labels(trace.policy, label, trace.outcome).inc()
        self.latency.observe(trace.seconds)
        if trace.first_content is not None:
            self.first_content.observe(trace.first_content)

    def outcomes(self) -> Counts[str]:
        """Requests that ended, by outcome: "ok" or the code of an error."""
        counts: Counts[str] = Counts()
        for family in self.requests.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    counts[sample.labels["outcome"]] += int(sample.value)
        return counts

    def class_label(self, query_class: str) -> str:
        return _bounded(query_class, self._classes, MAX_CLASSES)

    def _plan_label(self, plan: str) -> str:
        return _bounded(plan, self._plans, MAX_PLANS)

    def follow(self, engine: Mapping[str, int], answers: Mapping[str, int]) -> None:
        """Take over what the engines and the comparison of answers have counted."""
        self._follow(self.engine_events, engine)
        self._follow(self.comparisons, answers)

    def collect(self) -> Iterable[Metric]:
        """Everything, as it is now."""
        now = self._clock()
        for label, (queries, since) in self._curves.items():
            self.curve_age.labels(label).set(now - since)
            self.curve_queries.labels(label).set(queries)
        return self.registry.collect()

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return _text(self.collect())

    def saw_store(self, counts: SinkCounts) -> None:
        """What waits for the store, and what became of the lines so far."""
        self.store_waiting.set(counts.waiting)
        self.store_bytes.set(counts.waiting_bytes)
        totals = {kind: getattr(counts, kind) for kind in STORED}
        self._follow(self.store_records, totals)

    def saw_engines(self, statuses: Sequence[ReplicaStatus]) -> None:
        gone = sum(status.is_gone for status in statuses)
        self.engines.labels("serving").set(len(statuses) - gone)
        self.engines.labels("gone").set(gone)
        self.owed_tokens.set(sum(status.owed_tokens for status in statuses))

    def saw_curves(self, sizes: Mapping[str, float]) -> None:
        """The queries that the curve of each class stands on, of all that are loaded."""
        queries: dict[str, float] = {}
        for query_class in sorted(sizes, key=lambda name: (-sizes[name], name)):
            label = self.class_label(query_class)
            queries[label] = queries.get(label, 0.0) + sizes[query_class]
        for label, count in queries.items():
            self._saw_curve(label, count)

    def _follow(self, counter: Counter, counts: Mapping[str, int]) -> None:
        """Bring a counter to what another part has counted, by kind."""
        for kind, count in counts.items():
            before = self._counted.get((counter._name, kind), 0)
            counter.labels(kind).inc(count - before)
            self._counted[counter._name, kind] = count

    def saw_served(self, query_class: str, served: Mapping[str, AccuracyEstimate]) -> None:
        """How often the answers of a class were right, by kind of plan, as its curve says now."""
        if (label := self.class_label(query_class)) == OTHER:
            return
        for plan, estimate in served.items():
            for bound in ("accuracy", "low", "high"):
                value = getattr(estimate, bound)
                self.served.labels(label, self._plan_label(plan), bound).set(value)

    def _saw_curve(self, label: str, queries: float) -> None:
        """A curve has moved when it stands on another number of queries than last time."""
        if queries and self._curves.get(label, (0.0, 0.0))[0] != queries:
            self._curves[label] = (queries, self._clock())

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name, text, labels, namespace=PREFIX, registry=self.registry, buckets=buckets
        )


def _bounded(name: str, known: set[str], most: int) -> str:
    """The name, unless as many others are known already."""
    if name not in known and len(known) >= most:
        return OTHER
    known.add(name)
    return name


def labelled_text(models: Mapping[str, Metrics]) -> bytes:
    """The metrics of several models as one text: each sample has its `model` as a label."""
    families: dict[str, Metric] = {}
    for model, metrics in models.items():
        for found in metrics.collect():
            named = [each._replace(labels={"model": model} | each.labels) for each in found.samples]
            found.samples = [*getattr(families.get(found.name), "samples", ()), *named]
            families[found.name] = found
    return _text(families.values())


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _text(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([*families]))
    return generate_latest(registry)
