"""Results to tables: which policy buys the most accuracy per token, and how sure that is."""

import math
import re
from collections.abc import Iterable
from itertools import combinations
from statistics import median
from typing import NamedTuple

from scheduler.experiments import oracle
from scheduler.experiments.behaviour import decisions_table
from scheduler.experiments.comparisons import paired
from scheduler.experiments.estimate_text import number, percent, points, signed
from scheduler.experiments.metrics.accuracy import PolicySummary, summaries
from scheduler.experiments.metrics.at_k import majority_at_k, pass_at_k
from scheduler.experiments.metrics.bootstrap import Estimate
from scheduler.experiments.metrics.calibration import calibration
from scheduler.experiments.metrics.latency import percentiles
from scheduler.experiments.metrics.pareto import against_the_rest, area_between
from scheduler.experiments.metrics.regret import regret
from scheduler.experiments.metrics.s1 import ScalingRun, control, performance, scaling
from scheduler.experiments.metrics.table import ScoreTable, score_table
from scheduler.experiments.results import ResultRow
from scheduler.experiments.tables import TextTable

_BUDGET = re.compile(r"(?:max_thinking_tokens|(?<!\w)tokens)=(\d+)")
_STEPS = re.compile(r"(?<!\w)steps=(\d+)")
STEP_TOKENS = 100
"""A step of step-conditional control counts as so many tokens (s1, Table 12)."""


class ReportBlock(NamedTuple):
    """The results of one engine on one question set."""

    engine: str
    questions: str
    rows: list[ResultRow]
    scores: ScoreTable

    @property
    def title(self) -> str:
        return f"{self.questions} on {self.engine}"


def blocks(rows: Iterable[ResultRow]) -> list[ReportBlock]:
    found: dict[tuple[str, str], list[ResultRow]] = {}
    for row in rows:
        found.setdefault((str(row["engine"]), str(row["questions"])), []).append(row)
    return [ReportBlock(*key, part, score_table(part)) for key, part in found.items()]


def tables(block: ReportBlock) -> list[TextTable]:
    """Every table that the results allow."""
    made = [
        _policies(block),
        _by_class(block),
        paired(block.title, block.scores),
        decisions_table(block.title, block.rows),
        _families(block),
        _s1(block),
        _at_k(block),
        _calibration(block),
    ]
    return [table for table in made if table is not None and table.rows]


def verdicts(block: ReportBlock) -> list[str]:
    """For every policy: its tokens beside those of the best mix of the others."""
    lines, ratios = [], against_the_rest(block.scores)
    for row in summaries(block.scores):
        if (ratio := ratios.get(row.policy)) is None:
            continue
        if math.isnan(ratio.value):
            told = "no other policy is as cheap or as inaccurate: nothing to compare with"
        elif ratio.value == 0:
            told = "more accurate than any mix of the others"
        else:
            change = "fewer" if ratio.value < 1 else "more"
            span = f"{_share(ratio.low)} to {_share(ratio.high)}"
            told = (
                f"{abs(1 - ratio.value):.0%} {change} tokens than the best mix of the others "
                f"at the same accuracy ({ratio.value:.2f} times; 95 %: {span})"
            )
        lines.append(f"{row.policy}: {told}")
    return lines


def _policies(block: ReportBlock) -> TextTable:
    rows, seeds, lost = [], 1, _regret(block)
    for each in summaries(block.scores):
        took = [row for row in block.rows if row["policy"] == each.policy]
        seeds = max(seeds, len({row["seed"] for row in took}))
        tail = percentiles([row.get("seconds") or 0.0 for row in took])
        rows.append(
            (
                each.policy,
                f"{each.questions}",
                f"{each.answered}",
                percent(each.accuracy),
                number(each.tokens),
                f"{tail.p50:.2f}",
                f"{tail.p99:.2f}",
                *([signed(lost.by_policy[each.policy])] if lost else []),
            )
        )
    words = "policy, questions, answers, accuracy, tokens, p50 s, p99 s"
    head = tuple(words.split(", "))
    note = f"{seeds} seeds; 95 % intervals by a bootstrap over questions."
    if lost:
        head, note = (*head, "regret, points"), f"{note} {lost.note}"
    return TextTable(block.title, head, tuple(rows), note)


class _Regret(NamedTuple):
    by_policy: dict[str, Estimate]
    note: str


def _regret(block: ReportBlock) -> _Regret | None:
    """Where all is known of the questions: how far a policy's value is below an oracle's."""
    graded = [row for row in block.rows if row["correct"] is not None]
    prices = [row["price"] for row in graded if row.get("price")]
    if not prices or not oracle.knows(graded):
        return None
    price = median(prices)
    rules = {name: oracle.rule(name, price) for name in sorted({row["class"] for row in graded})}
    lost = regret(graded, {name: rule.value for name, rule in rules.items()}, price)
    best = ", ".join(f"{name} by {rule.method}" for name, rule in rules.items())
    note = (
        f"Regret: value lost per question, in points of accuracy at {price:.6f} a token, against "
        f"the best rule of one who knows the population ({best})."
    )
    return _Regret(lost, note)


def _by_class(block: ReportBlock) -> TextTable | None:
    classes = sorted(set(block.scores.classes))
    if len(classes) < 2:
        return None
    parts = {name: block.scores.of_class(name) for name in classes}
    rows = []
    for each in summaries(block.scores):
        at, cells = block.scores.place(each.policy), []
        for name in classes:
            asked = parts[name].asked[at].sum()
            right, tokens = parts[name].correct[at].sum(), parts[name].tokens[at].sum()
            cells.append(f"{right / asked:.1%} ({tokens / asked:.0f})" if asked else "-")
        rows.append((each.policy, *cells))
    title = f"{block.title}, by class: accuracy (tokens)"
    return TextTable(title, ("policy", *classes), tuple(rows))


def family(policy: str) -> str:
    """The policies of one grid are one family: LABEL of LABEL-OPTION=VALUE."""
    return re.sub(r"-\w+=.*$", "", policy)


def _families(block: ReportBlock) -> TextTable:
    """Every two families of at least two settings each: how far apart their curves are."""
    members: dict[str, list[str]] = {}
    for policy in block.scores.policies:
        members.setdefault(family(policy), []).append(policy)
    several = [name for name, policies in members.items() if len(policies) > 1]
    rows = []
    for a, b in combinations(several, 2):
        gap = area_between(block.scores, members[a], members[b])
        if not math.isnan(gap.value):
            rows.append((f"{a} - {b}", points(gap)))
    head = ("families", "accuracy at equal tokens, points")
    note = "Mean over the range of log tokens that the best mixes of both cover."
    return TextTable(f"{block.title}: families", head, tuple(rows), note)


def scaling_runs(block: ReportBlock) -> dict[str, list[ScalingRun]]:
    """The families of at least two runs, as s1's metrics take them."""
    thinking: dict[str, list[float]] = {}
    for row in block.rows:
        if row.get("thinking_tokens") is not None:
            thinking.setdefault(row["policy"], []).append(row["thinking_tokens"])
    found: dict[str, list[ScalingRun]] = {}
    for each in summaries(block.scores):
        if took := thinking.get(each.policy):
            mean = sum(took) / len(took)
            run = ScalingRun(mean, 100 * each.accuracy.value, _budget(each.policy))
            found.setdefault(family(each.policy), []).append(run)
    return {name: runs for name, runs in found.items() if len(runs) > 1}


def _budget(policy: str) -> float | None:
    if match := _BUDGET.search(policy):
        return float(match[1])
    return STEP_TOKENS * float(match[1]) if (match := _STEPS.search(policy)) else None


def _s1(block: ReportBlock) -> TextTable:
    rows = []
    for name, runs in scaling_runs(block).items():
        kept = f"{control(runs):.0f}%" if any(run.most is not None for run in runs) else "-"
        slope = scaling([run for run in runs if run.thinking_tokens > 0])
        best = performance(runs)
        rows.append((name, f"{len(runs)}", kept, f"{slope:.1f}", f"{best:.1f}"))
    head = ("family", "runs", "Control", "Scaling", "Performance")
    note = "Scaling in points per doubling of thinking tokens (s1, section 3.2)."
    return TextTable(f"{block.title}: s1's metrics", head, tuple(rows), note)


def _at_k(block: ReportBlock) -> TextTable | None:
    """Of the policy that always drew the most chains, and extended none."""
    counts: dict[str, set[int]] = {}
    for row in block.rows:
        if row.get("chain_answers"):
            chains = 0 if row["extensions"] else len(row["chain_answers"])
            counts.setdefault(row["policy"], set()).add(chains)
    fixed = {policy: found.pop() for policy, found in counts.items() if len(found) == 1}
    fixed = {policy: chains for policy, chains in fixed.items() if chains > 1}
    if not fixed:
        return None
    policy = max(fixed, key=lambda name: fixed[name])
    drawn = [
        row
        for row in block.rows
        if row["policy"] == policy and row.get("chain_answers") and None not in row["chain_correct"]
    ]
    if not drawn:
        return None
    rows = []
    for k in (2**power for power in range(fixed[policy].bit_length())):
        passed = [pass_at_k(sum(r["chain_correct"]), len(r["chain_correct"]), k) for r in drawn]
        voted = [majority_at_k(r["chain_answers"], r["chain_correct"], k) for r in drawn]
        rows.append((f"{k}", f"{sum(passed) / len(passed):.1%}", f"{sum(voted) / len(voted):.1%}"))
    title = f"{block.title}: k of the {fixed[policy]} chains of {policy}"
    return TextTable(title, ("k", "pass@k", "maj@k"), tuple(rows), "Means over all subsets of k.")


def _calibration(block: ReportBlock) -> TextTable:
    rows = []
    for policy in block.scores.policies:
        told = [
            (row["predicted"], row["correct"])
            for row in block.rows
            if row["policy"] == policy and row.get("predicted") is not None
        ]
        if told:
            found = calibration([chance for chance, _ in told], [right for _, right in told])
            rows.append((policy, f"{found.answers}", f"{found.brier:.3f}", f"{found.error:.3f}"))
    head = ("policy", "answers", "Brier score", "calibration error")
    return TextTable(f"{block.title}: predicted accuracy", head, tuple(rows))


def as_json(block: ReportBlock) -> dict[str, object]:
    """The figures of the first table."""

    lost = _regret(block)

    def line(each: PolicySummary) -> dict[str, object]:
        found = {"accuracy": each.accuracy, "tokens": each.tokens}
        if lost:
            found["regret"] = lost.by_policy[each.policy]
        return {
            "policy": each.policy,
            "questions": each.questions,
            "answers": each.answered,
            **{
                name: {key: _finite(value) for key, value in part._asdict().items()}
                for name, part in found.items()
            },
            "seconds": each.seconds,
        }

    return {
        "engine": block.engine,
        "questions": block.questions,
        "policies": [line(each) for each in summaries(block.scores)],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _share(value: float) -> str:
    return "not reached" if value == 0 else f"{value:.2f}"
