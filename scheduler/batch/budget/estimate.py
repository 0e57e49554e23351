"""`batch estimate`: a few rows are answered, and the whole job is predicted from them."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from policies.jobs.forecast import Expected, expected, reached_by
from policies.plan import Forecast
from scheduler.batch.asking import Answer, completed, tokens_in
from scheduler.batch.budget.passes import chance_of
from scheduler.batch.inputs.row import BadRow, Row
from scheduler.errors import RequestError
from scheduler.progress import Progress
from scheduler.solving.controller import Controller


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """`tokens` and `accuracy` are of the whole job; `at_budget` is what a budget would reach."""

    rows: int
    sampled: int
    failed: int
    spent: int
    seconds: float
    tokens: Expected | None
    accuracy: Expected | None
    classes: dict[str, tuple[int, Expected | None]]
    at_budget: Forecast | None = None

    def lines(self, budget: int | None) -> list[str]:
        found = [
            f"{self.rows:,} rows; {self.sampled} were answered for {self.spent:,} tokens, "
            f"{self.failed} failed"
        ]
        if self.tokens is None:
            return found
        scale = self.rows / max(1, self.sampled)
        found.append(
            f"tokens: {_whole(self.tokens)}; about {self.seconds * scale / 60:,.1f} minutes here"
        )
        if self.accuracy is not None:
            low, high = max(0.0, self.accuracy.low), min(1.0, self.accuracy.high)
            found.append(f"accuracy: {self.accuracy.mean:.1%} ({low:.1%} to {high:.1%})")
        for name, (count, tokens) in sorted(self.classes.items()):
            mean = "" if tokens is None else f", {tokens.mean:,.0f} tokens a row"
            found.append(f"  {name}: {count} of the sample{mean}")
        if budget is not None:
            found.append(self._of_budget(budget))
        return found

    def _of_budget(self, budget: int) -> str:
        if self.at_budget is None:
            return f"with {budget:,} tokens: not known from this sample, or too few for all rows"
        return f"with {budget:,} tokens: {self.at_budget.accuracy:.1%} right, by the curves"

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "sampled": self.sampled,
            "failed": self.failed,
            "spent": self.spent,
            "seconds": round(self.seconds, 3),
            "tokens": self.tokens and self.tokens._asdict(),
            "accuracy": self.accuracy and self.accuracy._asdict(),
            "classes": {name: count for name, (count, _) in self.classes.items()},
            "at_budget": self.at_budget and self.at_budget._asdict(),
        }


def sample_of(rows: Iterable[Row | BadRow], count: int, size: int) -> Iterator[Row]:
    """`size` of `count` rows, spread evenly over the file."""
    step = max(1.0, count / max(1, size))
    due, taken = step / 2, 0
    for at, row in enumerate(rows):
        if at + 1 >= due and isinstance(row, Row) and taken < size:
            due, taken = due + step, taken + 1
            yield row


async def estimate(
    answer: Answer,
    rows: Iterable[Row],
    count: int,
    *,
    options: dict[str, Any],
    concurrency: int,
    progress: Progress,
    controller: Controller | None = None,
    budget: int | None = None,
) -> JobEstimate:
    """`controller` has the curves that the sample teaches; without one no budget is predicted."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(concurrency)
    replies: list[dict[str, Any]] = []
    failed = 0

    async def ask(row: Row) -> None:
        nonlocal failed
        async with gate:
            try:
                reply = await answer(completed(row.body, options))
                tokens_in(reply)
                replies.append(reply)
            except RequestError as error:
                if error.status in (401, 403, 404) or error.code == "unreachable":
                    raise
                failed += 1
            progress.advance()

    began = loop.time()
    try:
        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(ask(row))
    except* RequestError as errors:
        raise ValueError(str(errors.exceptions[0])) from None
    tokens = [float(tokens_in(reply)) for reply in replies]
    chances = [chance for reply in replies if (chance := chance_of(reply)) is not None]
    whole = expected(tokens, count)
    return JobEstimate(
        count,
        len(replies),
        failed,
        round(sum(tokens)),
        loop.time() - began,
        whole and whole.times(count),
        expected(chances, count),
        _by_class(replies, count),
        _at_budget(controller, replies, count, budget),
    )


def _class_of(reply: dict[str, Any]) -> str:
    return str((reply.get("thinkbudget") or {}).get("query_class") or "default")


def _by_class(replies: list[dict[str, Any]], count: int) -> dict[str, tuple[int, Expected | None]]:
    values: dict[str, list[float]] = {}
    for reply in replies:
        values.setdefault(_class_of(reply), []).append(float(tokens_in(reply)))
    return {name: (len(of), expected(of, count)) for name, of in values.items()}


def _at_budget(
    controller: Controller | None, replies: list[dict[str, Any]], count: int, budget: int | None
) -> Forecast | None:
    if controller is None or budget is None or not replies:
        return None
    classes = Counter(map(_class_of, replies))
    shares = {name: number / len(replies) for name, number in classes.items()}
    found = {name: controller.curves.curve(controller.info.model, name) for name in shares}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    return reached_by(curves, shares, budget / count)


def _whole(tokens: Expected) -> str:
    return f"{tokens.mean:,.0f} ({max(0.0, tokens.low):,.0f} to {tokens.high:,.0f})"
