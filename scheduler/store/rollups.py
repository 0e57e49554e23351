"""Sums of outcomes by day, class, policy and plan, which are kept when the outcomes are gone.

They are counted in the transaction that inserts the outcomes, so that each counts once.
"""

import math
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, cast, func, literal_column, select

from scheduler.store.insert import upsert
from scheduler.store.tables import FEEDBACK, OUTCOMES, ROLLUP_KEY, ROLLUP_SUMS, ROLLUPS

Sums = dict[tuple[str, ...], dict[str, float]]


def day_of(at: float) -> str:
    """The day of a moment, in UTC."""
    return _day(math.floor(at / 86_400))


@lru_cache(maxsize=1000)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def add(connection: Connection, outcomes: Iterable[dict[str, Any]]) -> None:
    """Count outcomes; `reward` of a row is that of its label, None without one."""
    sums: Sums = {}
    for row in outcomes:
        correct, reward = row["correct"], row.get("reward")
        label = reward if correct is None else float(correct)
        counts = {
            "outcomes": 1,
            "tokens": row["tokens"],
            "seconds": row["seconds"],
            "predicted": int(row["chance"] is not None),
            "chance": row["chance"] or 0.0,
        }
        _add(sums, row, counts, label)
    _write(connection, sums)


def label(connection: Connection, labelled: Iterable[dict[str, Any]]) -> None:
    """Count labels of outcomes that are counted already."""
    sums: Sums = {}
    for row in labelled:
        _add(sums, row, {}, row["reward"])
    _write(connection, sums)


def _add(sums: Sums, row: dict[str, Any], counts: dict[str, float], label: float | None) -> None:
    key = (day_of(row["at"]), *(row[name] for name in ROLLUP_KEY[1:]))
    total = sums.setdefault(key, dict.fromkeys(ROLLUP_SUMS, 0))
    for name, value in counts.items():
        total[name] += value
    if label is not None:
        total["labelled"] += 1
        total["reward"] += label


def _write(connection: Connection, sums: Sums) -> None:
    # In one order, so that two writers do not wait for each other.
    rows = [dict(zip(ROLLUP_KEY, key, strict=True)) | sums[key] for key in sorted(sums)]
    upsert(connection, ROLLUPS, rows, adds=True)


def differences(connection: Connection) -> list[str]:
    """Days whose sums are not those of their outcomes, of the days that have them all."""
    labelled = func.count(func.coalesce(cast(OUTCOMES.c.correct, Integer), FEEDBACK.c.reward))
    day: ColumnElement[str] = literal_column(_DAYS[connection.dialect.name])
    joined = OUTCOMES.outerjoin(FEEDBACK, FEEDBACK.c.outcome_id == OUTCOMES.c.id)
    counted = {
        row[0]: tuple(row[1:])
        for row in connection.execute(
            select(day.label("day"), func.count(), func.sum(OUTCOMES.c.tokens), labelled)
            .select_from(joined)
            .group_by(day)
        )
    }
    kept = {
        row[0]: tuple(int(value) for value in row[1:])
        for row in connection.execute(
            select(ROLLUPS.c.day, *(func.sum(ROLLUPS.c[name]) for name in _CHECKED)).group_by(
                ROLLUPS.c.day
            )
        )
    }
    # Of the oldest day a part may have been deleted.
    whole = sorted(counted)[1:] if set(kept) - set(counted) else sorted(counted)
    return [
        f"{day}: the sums of outcomes, tokens and labels are {kept.get(day)}, and should be "
        f"{tuple(map(int, counted[day]))}"
        for day in whole
        if kept.get(day) != tuple(map(int, counted[day]))
    ]


_CHECKED = ("outcomes", "tokens", "labelled")
_DAYS = {
    "sqlite": "date(outcomes.at, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(outcomes.at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
