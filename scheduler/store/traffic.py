"""What was served since a moment, by class, policy and plan: queries, tokens, accuracy."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Float, Integer, cast, func, select

from scheduler.store.rollups import day_of
from scheduler.store.tables import FEEDBACK, OUTCOMES, ROLLUP_SUMS, ROLLUPS

# Outcomes of so long are summed themselves; longer times come from the sums of whole days.
SUMMED_SECONDS: Final = 2 * 86_400.0


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One class, policy and plan. `chance` is the mean predicted accuracy, `right` the share of
    right answers among the `labelled`; None where there is none.
    """

    model: str
    query_class: str
    policy: str
    plan: str
    outcomes: int
    tokens: int
    seconds: float
    chance: float | None
    labelled: int
    right: float | None

    @property
    def tokens_each(self) -> float:
        return self.tokens / self.outcomes


def served(connection: Connection, *, since: float, now: float) -> list[ServedRow]:
    """The largest bills first. `since` and `now` are in seconds since 1970.

    Of more than two days, whole days are shown, that of `since` included.
    """
    sums = _from_outcomes(since) if now - since <= SUMMED_SECONDS else _from_rollups(since)
    rows = [_row(found) for found in connection.execute(sums).mappings()]
    return sorted(rows, key=lambda row: (-row.tokens, row.query_class, row.policy, row.plan))


def _from_outcomes(since: float) -> Any:
    table = OUTCOMES
    reward = func.coalesce(cast(cast(table.c.correct, Integer), Float), FEEDBACK.c.reward)
    key = [table.c.model, table.c.query_class, table.c.policy, table.c.plan]
    return (
        select(
            *key,
            func.count().label("outcomes"),
            func.sum(table.c.tokens).label("tokens"),
            func.sum(table.c.seconds).label("seconds"),
            func.count(table.c.chance).label("predicted"),
            func.sum(table.c.chance).label("chance"),
            func.count(reward).label("labelled"),
            func.sum(reward).label("reward"),
        )
        .select_from(table.outerjoin(FEEDBACK, FEEDBACK.c.outcome_id == table.c.id))
        .where(table.c.at >= since)
        .group_by(*key)
    )


def _from_rollups(since: float) -> Any:
    key = [ROLLUPS.c[name] for name in ("model", "query_class", "policy", "plan")]
    sums = [func.sum(ROLLUPS.c[name]).label(name) for name in ROLLUP_SUMS]
    return select(*key, *sums).where(ROLLUPS.c.day >= day_of(since)).group_by(*key)


def _row(found: Any) -> ServedRow:
    def mean(total: str, count: str) -> float | None:
        return float(found[total]) / int(found[count]) if found[count] else None

    return ServedRow(
        found["model"],
        found["query_class"],
        found["policy"],
        found["plan"],
        int(found["outcomes"]),
        int(found["tokens"]),
        float(found["seconds"]) / int(found["outcomes"]),
        mean("chance", "predicted"),
        int(found["labelled"]),
        mean("reward", "labelled"),
    )
