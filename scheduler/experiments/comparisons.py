"""Tables of policies two by two: paired differences on the same questions, with p-values."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from scheduler.experiments.estimate_text import points, times
from scheduler.experiments.metrics.accuracy import Comparison, compare, summaries
from scheduler.experiments.metrics.bootstrap import holm
from scheduler.experiments.metrics.table import ScoreTable
from scheduler.experiments.tables import TextTable

ALL_PAIRS = 6
"""Up to so many policies, every two are compared; of more, each with the most accurate one."""


def comparison_table(title: str, found: Sequence[Comparison]) -> TextTable:
    accuracy = holm([each.accuracy_p for each in found])
    tokens = holm([each.tokens_p for each in found])
    rows = [
        (
            f"{each.a} - {each.b}",
            f"{each.questions}",
            points(each.accuracy),
            f"{each.accuracy_p:.4f}",
            f"{accuracy[place]:.4f}",
            times(each.tokens),
            f"{each.tokens_p:.4f}",
            f"{tokens[place]:.4f}",
        )
        for place, each in enumerate(found)
    ]
    head = (
        "compared", "questions", "accuracy, points", "p", "p (Holm)", "tokens", "p", "p (Holm)",
    )  # fmt: skip
    note = "Paired by question; 95 % intervals by bootstrap; Holm corrects for all rows."
    return TextTable(title, head, tuple(rows), note)


def compared(title: str, scores: ScoreTable, pairs: Iterable[tuple[str, str]]) -> TextTable:
    """Raises ValueError for a policy that is not there."""
    return comparison_table(title, [compare(scores, a, b) for a, b in pairs])


def paired(title: str, scores: ScoreTable) -> TextTable | None:
    """Every two policies, or where there are many, each with the most accurate one."""
    found = summaries(scores)
    names = [each.policy for each in found]
    pairs = list(combinations(reversed(names), 2))
    if len(names) > ALL_PAIRS:
        best = max(found, key=lambda each: each.accuracy.value).policy
        pairs = [(name, best) for name in names if name != best]
    at = {name: scores.asked[scores.place(name)] > 0 for name in names}
    pairs = [(a, b) for a, b in pairs if (at[a] & at[b]).any()]
    return compared(f"{title}: paired differences", scores, pairs) if pairs else None
