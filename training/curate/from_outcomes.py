"""The next training set from served traffic: questions that the model fails or thinks long about.

A question is taken if its answer was wrong; without a label, if its chance to be right is below
`chance`. It is also taken if it took at least `factor` times the median tokens of its class while
such queries are not right often enough to pay for the extra tokens at the log's price.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from training.curate.rows import question_key

WRONG, UNSURE, LONG = "wrong", "unsure", "long for little"


@dataclass(frozen=True, slots=True)
class Served:
    """What is used of one line of the outcome log; `right` is from 0 to 1, None if not known."""

    question: str
    reference: str | None
    query_class: str
    label: bool | None
    right: float | None
    tokens: int
    price: float

    @classmethod
    def of(cls, line: dict[str, Any]) -> "Served":
        label = line["correct"]
        right = float(label) if label is not None else line["chance"]
        total = int(line["tokens"]["total"])
        return cls(
            line["question"], line["reference"], line["class"], label, right, total, line["price"]
        )


def questions_from(
    lines: Iterable[dict[str, Any]], *, chance: float = 0.5, factor: float = 2.0
) -> list[dict[str, str | None]]:
    """Rows with question, solution (the reference answer), class and reason, each question once."""
    served = [Served.of(line) for line in lines]
    long = long_for_little(served, factor)
    rows: dict[str, dict[str, str | None]] = {}
    for at, one in enumerate(served):
        if one.label is False:
            reason = WRONG
        elif one.label is None and one.right is not None and one.right < chance:
            reason = UNSURE
        elif at in long:
            reason = LONG
        else:
            continue
        row = {
            "question": one.question,
            "solution": one.reference,
            "class": one.query_class,
            "reason": reason,
        }
        rows.setdefault(question_key(one.question), row)
    return list(rows.values())


def with_texts(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines as they are. Raises ValueError for one that was kept without its question."""
    for line in lines:
        if line["question"] is None:
            raise ValueError("the store was kept without texts (`store.texts`)")
        yield line


def long_for_little(served: list[Served], factor: float) -> set[int]:
    """Places of queries that were long, in classes where length does not pay at the log's price."""
    classes: dict[str, list[int]] = defaultdict(list)
    for at, one in enumerate(served):
        if one.right is not None:
            classes[one.query_class].append(at)
    found: set[int] = set()
    for places in classes.values():
        limit = factor * median(served[at].tokens for at in places)
        long = [at for at in places if served[at].tokens >= limit]
        rest = [at for at in places if served[at].tokens < limit]
        if long and rest:
            gain = fmean(served[at].right or 0.0 for at in long) - fmean(
                served[at].right or 0.0 for at in rest
            )
            more = fmean(served[at].tokens for at in long) - fmean(served[at].tokens for at in rest)
            price = fmean(served[at].price for at in places)
            if gain < price * more or gain <= 0:
                found |= set(long)
    return found
