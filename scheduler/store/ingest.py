"""A batch of rows into the tables, and into the sums by day, in one transaction."""

from typing import Any, Final

from sqlalchemy import Connection, func, select

from scheduler.store import rollups
from scheduler.store.insert import insert_all, insert_new, parts, upsert
from scheduler.store.records import Rows
from scheduler.store.tables import BATCH_JOBS, CURVE_SNAPSHOTS, DECISIONS, FEEDBACK, OUTCOMES

# Any number that nobody else locks in the same database.
LABEL_LOCK: Final = 7_416_231_022


def ingest(connection: Connection, rows: Rows) -> int:
    """Rows in, sums up; how many lines were new."""
    _lock(connection, rows)
    new = insert_new(connection, OUTCOMES, "id", rows.outcomes)
    _insert_decisions(connection, rows, sorted(new))
    labels = insert_new(connection, FEEDBACK, "outcome_id", rows.feedback)
    _count(connection, rows, new)
    _count_late_labels(connection, sorted(labels - new))
    snapshots = insert_new(connection, CURVE_SNAPSHOTS, "id", rows.curves)
    _update_jobs(connection, rows.jobs)
    return len(new) + len(labels) + len(snapshots) + len(rows.jobs)


def _lock(connection: Connection, rows: Rows) -> None:
    """Labels wait for outcomes that are being written, and the other way round, until the commit.

    Else a label and its outcome, each in a transaction that does not see the other's, would both be
    kept, and the label would not be in the sums. Outcomes do not wait for each other. SQLite has
    one writer.
    """
    if connection.dialect.name == "postgresql":
        if rows.feedback:
            connection.execute(select(func.pg_advisory_xact_lock(LABEL_LOCK)))
        elif rows.outcomes:
            connection.execute(select(func.pg_advisory_xact_lock_shared(LABEL_LOCK)))


def _insert_decisions(connection: Connection, rows: Rows, new: list[str]) -> None:
    numbers: dict[str, int] = {}
    for part in parts([name for name in new if rows.decisions[name]]):
        found = select(OUTCOMES.c.id, OUTCOMES.c.seq).where(OUTCOMES.c.id.in_(part))
        numbers |= {name: seq for name, seq in connection.execute(found)}
    steps = [
        {"outcome": seq} | step for name, seq in numbers.items() for step in rows.decisions[name]
    ]
    insert_all(connection, DECISIONS, steps)


def _count(connection: Connection, rows: Rows, new: set[str]) -> None:
    """Count new outcomes, with labels that came before them or with them."""
    first = {row["id"]: row for row in reversed(rows.outcomes) if row["id"] in new}
    rewards: dict[str, float] = {}
    for part in parts([*first]):
        found = select(FEEDBACK.c.outcome_id, FEEDBACK.c.reward)
        labelled = connection.execute(found.where(FEEDBACK.c.outcome_id.in_(part)))
        rewards |= {name: reward for name, reward in labelled}
    rollups.add(connection, (row | {"reward": rewards.get(name)} for name, row in first.items()))


def _count_late_labels(connection: Connection, labels: list[str]) -> None:
    """Count labels of outcomes that are counted already."""
    columns = [OUTCOMES.c[name] for name in ("at", "model", "query_class", "policy", "plan")]
    joined = OUTCOMES.join(FEEDBACK, FEEDBACK.c.outcome_id == OUTCOMES.c.id)
    for part in parts(labels):
        found = (
            select(*columns, FEEDBACK.c.reward)
            .select_from(joined)
            .where(OUTCOMES.c.id.in_(part), OUTCOMES.c.correct.is_(None))
        )
        rollups.label(connection, [dict(row) for row in connection.execute(found).mappings()])


def _update_jobs(connection: Connection, jobs: list[dict[str, Any]]) -> None:
    """The newest state of a job counts, in whatever order they come."""
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(jobs, key=lambda row: row["updated"]):
        newest[row["id"]] = row
    stored: dict[str, float] = {}
    for part in parts([*newest]):
        found = select(BATCH_JOBS.c.id, BATCH_JOBS.c.updated).where(BATCH_JOBS.c.id.in_(part))
        stored |= {name: updated for name, updated in connection.execute(found)}
    late = [row for name, row in newest.items() if stored.get(name, 0.0) <= row["updated"]]
    upsert(connection, BATCH_JOBS, late)
