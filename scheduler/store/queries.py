"""Questions to the store: outcomes by what they are, the newest, one by its id, labels, jobs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from scheduler.store.outcome_store import OutcomeStore, StoreAway
from scheduler.store.records import StoreRecord
from scheduler.store.tables import BATCH_JOBS, CURVE_SNAPSHOTS, FEEDBACK, OUTCOMES

SQLITE_MAGIC = b"SQLite format 3\0"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class OutcomeFilter:
    """What outcomes to find; None and False leave a field open. `since` and `until` are in seconds
    since 1970, `wrong` is a label below one half.
    """

    query_class: str | None = None
    model: str | None = None
    policy: str | None = None
    plan: str | None = None
    tenant: str | None = None
    stop_reason: str | None = None
    since: float | None = None
    until: float | None = None
    wrong: bool = False
    least_tokens: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        names = ("query_class", "model", "policy", "plan", "tenant", "stop_reason")
        equal = [
            OUTCOMES.c[name] == wanted
            for name in names
            if (wanted := getattr(self, name)) is not None
        ]
        if self.since is not None:
            equal.append(OUTCOMES.c.at >= self.since)
        if self.until is not None:
            equal.append(OUTCOMES.c.at < self.until)
        if self.wrong:
            reward = func.coalesce(FEEDBACK.c.reward, 1.0)
            equal.append(OUTCOMES.c.correct.is_(False) | (reward < 0.5))
        if self.least_tokens is not None:
            equal.append(OUTCOMES.c.tokens >= self.least_tokens)
        return equal


def find(
    connection: Connection,
    wanted: OutcomeFilter | None = None,
    *,
    newest: int | None = None,
    after: int = 0,
    most: int | None = None,
) -> Iterator[StoreRecord]:
    """Outcomes in the order in which the store took them in, or only the `newest` of them.

    Each is its line, with `seq`, its place in that order, and with `reward`, its later label.
    `after` is a place: outcomes past it, and so `most` at most.
    """
    found = (
        select(OUTCOMES.c.seq, OUTCOMES.c.payload, OUTCOMES.c.at, FEEDBACK.c.reward)
        .select_from(_labelled())
        .where(OUTCOMES.c.seq > after, *(wanted or OutcomeFilter()).conditions())
    )
    if newest is not None:
        last = found.order_by(OUTCOMES.c.seq.desc()).limit(newest)
        yield from reversed([_line(row) for row in connection.execute(last)])
        return
    ordered = found.order_by(OUTCOMES.c.seq).limit(most).execution_options(yield_per=PAGE)
    for row in connection.execute(ordered):
        yield _line(row)


def by_id(connection: Connection, name: str) -> StoreRecord:
    """One outcome by its id, or by the beginning of it. Raises ValueError for none, or several."""
    prefix = name.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    found = (
        select(OUTCOMES.c.seq, OUTCOMES.c.payload, OUTCOMES.c.at, FEEDBACK.c.reward)
        .select_from(_labelled())
        .where(OUTCOMES.c.id.like(f"{prefix}%", escape="\\"))
        .limit(2)
    )
    rows = connection.execute(found).all()
    if len(rows) != 1:
        raise ValueError(
            f"id: {'no' if not rows else 'more than one'} outcome begins with {name!r}"
        )
    return _line(rows[0])


def jobs(
    connection: Connection, *, newest: int = 20, since: float | None = None
) -> list[StoreRecord]:
    """The batch jobs that were begun last, newest first; `since`: of which there is news since."""
    found = select(BATCH_JOBS.c.payload).order_by(BATCH_JOBS.c.at.desc()).limit(newest)
    if since is not None:
        found = found.where(BATCH_JOBS.c.updated >= since)
    return [json.loads(payload) for payload in connection.scalars(found)]


def job(connection: Connection, job_id: str) -> StoreRecord | None:
    """A batch job as it stood last (`job_record`); None where there is none."""
    found = select(BATCH_JOBS.c.payload).where(BATCH_JOBS.c.id == job_id)
    payload = connection.scalar(found)
    return None if payload is None else json.loads(payload)


def newest_curve(connection: Connection, model: str, query_class: str) -> StoreRecord | None:
    """The curve of a class in the newest snapshot, with its `at`; None where it has none."""
    found = connection.execute(
        select(CURVE_SNAPSHOTS.c.at, CURVE_SNAPSHOTS.c.payload)
        .order_by(CURVE_SNAPSHOTS.c.at.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    for line in json.loads(found.payload)["classes"]:
        if (line["model"], line["class"]) == (model, query_class):
            curve: StoreRecord = line["curve"]
            return curve | {"at": found.at}
    return None


def outcomes_of(source: str) -> Iterator[dict[str, Any]]:
    """The outcomes of a store, by its URL or file, or those of an outcome log.

    A label that came later stands in the place of `correct`. Raises ValueError for what is neither.
    """
    from scheduler.solving.outcome import read_outcomes

    if not is_store(source):
        yield from read_outcomes(Path(source))
        return
    try:
        with OutcomeStore(source, reads=True) as store:
            last, page = 0, None
            while page is None or page:
                # No transaction stays open while whoever asks works on a page.
                with store.transaction() as connection:
                    page = list(find(connection, after=last, most=PAGE))
                for line in page:
                    last = line["seq"]
                    if line["correct"] is None and line["reward"] is not None:
                        line["correct"] = line["reward"] >= 0.5
                    yield line
    except StoreAway as error:
        raise ValueError(str(error)) from None


def is_store(source: str) -> bool:
    """Whether it is a URL or a SQLite file, and not a log."""
    if "://" in source:
        return True
    path = Path(source)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _labelled() -> Any:
    return OUTCOMES.outerjoin(FEEDBACK, FEEDBACK.c.outcome_id == OUTCOMES.c.id)


def _line(row: Any) -> StoreRecord:
    line: StoreRecord = json.loads(row.payload)
    return line | {"seq": row.seq, "at": row.at, "reward": row.reward}
