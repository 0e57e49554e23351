"""Outcome logs as decisions: what a policy saw, what it did and how likely, what came of it."""

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from policies.answer_spec import AnswerSpec
from policies.base import Limits, Message, Query
from policies.plan import Budget
from policies.sampling import SamplingParams
from policies.signals import Confidence, Probe
from scheduler.curves.store import CurveStore
from scheduler.curves.wal import load
from scheduler.solving.counterfactual import ServedQuery
from scheduler.solving.outcome import read_outcomes
from scheduler.solving.rounds import DecisionStep, SampleRecord
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool
from workers.sample import Sample


class LoggedAction(NamedTuple):
    """What the logging policy chose; decisions of the same action are alike.

    `rung` tells rules of one plan at different prices apart: its price against the query's, in
    powers of two.
    """

    arm: str | None
    policy: str
    plan: str
    is_exploration: bool
    max_thinking_tokens: int
    temperature: float | None
    rung: int


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One line of the log. `tokens` are all that the query took; `correct` of None: no label."""

    served: ServedQuery
    action: LoggedAction
    propensity: float
    correct: bool | None
    tokens: int


def read_decisions(paths: Sequence[Path], curves: Path | None = None) -> list[LoggedDecision]:
    """All answered queries of these outcome logs.

    `curves` are those that candidates decide by: a snapshot as `serve --curves` writes it. Answers
    are graded by their reference. Raises ValueError that names file and line.
    """
    store = load(curves) if curves else CurveStore()
    lines = [(place, line) for path in paths for place, line in _lines(path)]
    if not lines:
        raise ValueError(f"{', '.join(map(str, paths))}: no answered query in it")
    return asyncio.run(_graded(lines, store))


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        for number, line in enumerate(read_outcomes(path), start=1):
            if line.get("samples") and line.get("plan"):
                yield f"{path}:{number}", line
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not an outcome log: {error}") from None


async def _graded(
    lines: Iterable[tuple[str, dict[str, Any]]], store: CurveStore
) -> list[LoggedDecision]:
    decisions = []
    async with MathPool() as pool:
        grader = Grader(pool)
        for place, line in lines:
            right = await _right(line, grader)
            try:
                decisions.append(_decision(line, store, right))
            except KeyError as missing:
                why = f"{missing} is missing; an earlier version wrote it"
                raise ValueError(f"{place}: no decision can be read: {why}") from None
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{place}: no decision can be read: {error}") from None
    return decisions


async def _right(line: Mapping[str, Any], grader: Grader) -> dict[str, bool] | None:
    """Whether each answer of a line is right; None without a reference."""
    reference = line.get("reference")
    if reference is None:
        return None
    given = line.get("answer_spec")
    spec = AnswerSpec(given["kind"], tuple(given["choices"])) if given else AnswerSpec()
    samples = line["samples"]
    answers = {each["answer"] for sample in samples for each in (sample, *_probes(sample))}
    right = {each: await grader.is_right(each, reference, spec) for each in answers - {None}}
    if line["answer"] is not None and line["correct"] is not None:
        right[line["answer"]] = line["correct"]
    return right


def _probes(sample: Mapping[str, Any]) -> list[dict[str, Any]]:
    return sample.get("probes") or []


def _decision(
    line: Mapping[str, Any], store: CurveStore, right: dict[str, bool] | None
) -> LoggedDecision:
    considered, plan, price = line["considered"], line["plan"], line["price"]
    records = tuple(_record(sample) for sample in line["samples"])
    served = ServedQuery(
        query=Query(
            line["id"],
            (Message("user", line["question"]),),
            line["class"],
            Limits(**considered["limits"]),
            line["reference"],
            SamplingParams(temperature=considered["temperature"]),
        ),
        curve=store.curve(line["model"], line["class"]),
        price=price,
        load=considered["load"],
        room=considered["room"],
        greedy=considered["greedy"],
        learns=considered["learns"],
        steered=considered["steered"],
        records=records,
        steps=tuple(_step(step) for step in considered["steps"]),
        right=right,
    )
    action = LoggedAction(
        line["arm"] and line["arm"]["side"],
        line["policy"],
        plan["name"],
        plan["is_exploration"],
        plan["budget"]["max_thinking_tokens"],
        records[0].temperature,
        _rung(price, plan["price"]),
    )
    propensity = float(line["propensity"])
    if not 0 < propensity <= 1:
        raise ValueError(f"propensity must be in (0, 1], got {propensity!r}")
    return LoggedDecision(served, action, propensity, line["correct"], line["tokens"]["total"])


def _rung(price: float, rule: float | None) -> int:
    return round(math.log2(price / rule)) if price and rule else 0


def _record(line: Mapping[str, Any]) -> SampleRecord:
    confidence, probes = line["confidence"], line["probes"]
    sample = Sample(
        chain=line["chain"],
        thinking="",
        text="",
        answer=line["answer"],
        stop_cause=line["stop_cause"],
        thinking_tokens=line["thinking_tokens"],
        answer_tokens=line["answer_tokens"],
        extensions=line["extensions"],
        generated_tokens=line["tokens"] - line["probe_tokens"],
        confidence=Confidence(**confidence) if confidence else None,
        probe_tokens=line["probe_tokens"],
    )
    trials = None if probes is None else tuple(Probe(line["chain"], **each) for each in probes)
    return SampleRecord(sample, line["temperature"], line["chain_tokens"], trials)


def _step(line: Mapping[str, Any]) -> DecisionStep:
    budget = Budget(**line["budget"]) if line["budget"] else None
    return DecisionStep(line["kind"], tuple(line["chains"]), budget, line["votes"], line["tokens"])
