"""Tables of engines two by two: whether they rank policies alike, and where they do not."""

from collections.abc import Iterable
from itertools import combinations

from scheduler.experiments.estimate_text import points, signed
from scheduler.experiments.metrics.agreement import agreement
from scheduler.experiments.metrics.bootstrap import Estimate
from scheduler.experiments.metrics.table import score_table
from scheduler.experiments.results import ResultRow
from scheduler.experiments.tables import TextTable

TITLE = "Engines compared"


def engine_tables(rows: Iterable[ResultRow]) -> list[TextTable]:
    """None where there is one engine, or no two policies that several were asked with."""
    by_engine: dict[str, list[ResultRow]] = {}
    for row in rows:
        by_engine.setdefault(str(row["engine"]), []).append(row)
    scores = {engine: score_table(part) for engine, part in by_engine.items()}
    ranked, swapped = [], []
    for a, b in combinations(scores, 2):
        common = set(scores[a].policies) & set(scores[b].policies)
        if len(common) < 2:
            continue
        found, swaps = agreement(scores[a], scores[b])
        pair = f"{a}, {b}"
        ranked.append((pair, f"{found.policies}", _tau(found.accuracy), _tau(found.tokens)))
        for each in swaps:
            told = points if each.measure == "accuracy" else signed
            surely = "yes" if each.is_beyond_chance else "no"
            policies = f"{each.a} - {each.b}"
            swapped.append((pair, each.measure, policies, told(each.one), told(each.other), surely))
    if not ranked:
        return []
    made = [
        TextTable(
            f"{TITLE}: rankings of policies",
            ("engines", "policies", "tau of accuracy", "tau of tokens"),
            tuple(ranked),
            "Kendall's tau-b: 1 is the same ranking. 95 % intervals by a bootstrap over questions; "
            "policies that hardly differ change places in it, so it may lie below the value.",
        )
    ]
    if swapped:
        head = ("engines", "measure", "policies", "in the first", "in the second", "beyond chance")
        note = "Differences of accuracy in points. Beyond chance: neither interval has 0 in it."
        made.append(TextTable(f"{TITLE}: opposite orders", head, tuple(swapped), note))
    return made


def _tau(each: Estimate) -> str:
    return f"{each.value:.2f} ({each.low:.2f} to {each.high:.2f})"
