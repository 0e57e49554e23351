"""What policies did: where they spent tokens, what they planned, why they stopped, how long.

Every function takes the rows of one block; all results are by policy within a key.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from scheduler.experiments.metrics.latency import Percentiles, percentiles
from scheduler.experiments.results import ResultRow
from scheduler.experiments.tables import TextTable

ByPolicy = dict[str, dict[str, float]]
KINDS = {
    "thinking": "reasoning_tokens",
    "answers": "final_tokens",
    "forced": "forced_tokens",
    "trial answers": "probe_tokens",
    "dropped": "discarded_tokens",
}
"""Kinds of tokens and their columns."""
MOST = 7
"""Plans, reasons and classes that are told apart; the rest are one."""
REST = "others"


def by_policy(rows: Iterable[ResultRow]) -> dict[str, list[ResultRow]]:
    """Those with an answer to grade."""
    found: dict[str, list[ResultRow]] = {}
    for row in rows:
        if row["correct"] is not None:
            found.setdefault(row["policy"], []).append(row)
    return found


def tokens_by_kind(rows: Sequence[ResultRow]) -> ByPolicy:
    """Means per question; a kind that nobody spent is left out."""
    found: ByPolicy = {}
    for kind, column in KINDS.items():
        spent = {policy: _mean(part, column) for policy, part in by_policy(rows).items()}
        if any(spent.values()):
            found[kind] = spent
    return found


def tokens_by_class(rows: Sequence[ResultRow]) -> ByPolicy:
    """Means per question of the largest classes."""
    counts = Counter(row["class"] for row in rows)
    parts = by_policy(rows)
    return {
        str(name): {
            policy: _mean([row for row in part if row["class"] == name], "tokens")
            for policy, part in parts.items()
        }
        for name in sorted(name for name, _ in counts.most_common(2 * MOST))
    }


def actions(rows: Sequence[ResultRow]) -> ByPolicy:
    """Means per question of what was decided: rounds of chains, chains, extensions of a chain."""
    columns = {"rounds": "rounds", "chains": "chains", "extensions": "extensions"}
    parts = by_policy(rows)
    return {
        name: {policy: _mean(part, column) for policy, part in parts.items()}
        for name, column in columns.items()
        if any(row.get(column) for row in rows)
    }


def shares(rows: Sequence[ResultRow], column: str) -> ByPolicy:
    """Share of a policy's questions by the value in a column: `plan` or `stop_reason`."""
    counts = Counter(row[column] for row in rows if row.get(column))
    kept = [str(name) for name, _ in counts.most_common(MOST)]
    found: ByPolicy = {name: {} for name in [*kept, REST]}
    for policy, part in by_policy(rows).items():
        mine = Counter(row[column] for row in part if row.get(column))
        for name in kept:
            found[name][policy] = mine.pop(name, 0) / len(part)
        found[REST][policy] = sum(mine.values()) / len(part)
    return {name: part for name, part in found.items() if any(part.values())}


def tails(rows: Sequence[ResultRow], column: str = "seconds") -> dict[str, Percentiles]:
    """Percentiles of each policy; empty where the column says nothing."""
    known = {
        policy: [float(row[column]) for row in part if row.get(column)]
        for policy, part in by_policy(rows).items()
    }
    return {policy: percentiles(values) for policy, values in known.items() if values}


def decisions_table(title: str, rows: Sequence[ResultRow]) -> TextTable:
    """Plans and reasons to stop as counts over all seeds."""
    lines = []
    for policy, part in by_policy(rows).items():
        lines.append(
            (
                policy,
                *(f"{_mean(part, name):.2f}" for name in ("rounds", "chains", "extensions")),
                _counted(part, "plan"),
                _counted(part, "stop_reason"),
            )
        )
    known = [line for line in lines if line[4] or line[5]]
    head = ("policy", "rounds", "chains", "extensions", "plans", "reasons to stop")
    note = "Rounds, chains and extensions are means per question; the rest counts questions."
    return TextTable(f"{title}: decisions", head, tuple(known), note)


def _counted(rows: Sequence[ResultRow], column: str) -> str:
    counts = Counter(str(row[column]) for row in rows if row.get(column))
    return ", ".join(f"{name}: {count}" for name, count in counts.most_common(MOST))


def _mean(rows: Sequence[ResultRow], column: str) -> float:
    return float(np.mean([row.get(column) or 0.0 for row in rows])) if rows else 0.0
