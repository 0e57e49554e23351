"""SQLite and PostgreSQL pass the same tests."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text

from benchmarks.serving.postgres import PostgresServer, missing, postgres
from scheduler.progress import progress
from scheduler.store import copying, schema
from scheduler.store.explain import cheaper_now, cheaper_then, explain
from scheduler.store.ingest import ingest
from scheduler.store.outcome_store import OutcomeStore, StoreAway, Written, current, migrate
from scheduler.store.queries import OutcomeFilter, by_id, find, job, jobs, newest_curve
from scheduler.store.records import curves_record, job_record, rows_of
from scheduler.store.tables import DECISIONS, METADATA, OUTCOMES, ROLLUPS
from scheduler.store.traffic import served
from tests.scheduler.store.lines import NOW, label, lines, outcome

DAY = 86_400.0
NUMBERS = itertools.count()
Make = Callable[[], str]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer | None]:
    if missing() is not None:
        yield None
        return
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, server: PostgresServer | None, tmp_path: Path) -> Make:
    """Makes the URL of an empty store."""
    if request.param == "postgresql":
        if server is None:
            pytest.skip(str(missing()))
        return lambda: server.create(f"store{next(NUMBERS)}")
    return lambda: f"sqlite:///{tmp_path}/store{next(NUMBERS)}.db"


@pytest.fixture
def store(make: Make) -> Iterator[OutcomeStore]:
    with OutcomeStore(make()) as opened:
        yield opened


def counts(store: OutcomeStore) -> list[tuple[object, ...]]:
    columns = ("query_class", "outcomes", "tokens", "predicted", "labelled", "reward")
    with store.transaction() as connection:
        found = select(*(ROLLUPS.c[name] for name in columns)).order_by(ROLLUPS.c.query_class)
        return [tuple(row) for row in connection.execute(found)]


def ids(store: OutcomeStore, wanted: OutcomeFilter | None = None) -> list[str]:
    with store.transaction() as connection:
        return [line["id"] for line in find(connection, wanted)]


def test_a_line_that_comes_twice_counts_once(store: OutcomeStore) -> None:
    batch = lines(outcome("a"), outcome("b", tokens=80), outcome("a"))
    assert store.write(batch) == Written(2, 1, 0)
    assert store.write(batch + lines(outcome("c"))) == Written(1, 3, 0)
    assert ids(store) == ["a", "b", "c"]
    assert counts(store) == [("sums", 3, 320, 3, 0, 0.0)]
    with store.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(DECISIONS)) == 6


@pytest.mark.parametrize("first", ["outcome", "label"])
def test_a_label_counts_though_its_outcome_is_written_at_the_same_moment(
    make: Make, first: str
) -> None:
    """Of two writers each is in the middle of its transaction before either commits."""
    parts = {"outcome": lines(outcome("a")), "label": lines(label("a", 1.0))}
    (second,) = parts.keys() - {first}
    url = make()
    is_file = url.startswith("sqlite")  # and has one owner
    with (
        OutcomeStore(url) as store,
        nullcontext(store) if is_file else OutcomeStore(url) as other,
    ):
        late = threading.Thread(target=other.write, args=(parts[second],))
        with store.transaction() as connection:
            ingest(connection, rows_of(parts[first])[0])
            late.start()
            late.join(0.3)
        late.join(30)
        assert not late.is_alive()
        assert counts(store) == [("sums", 1, 120, 1, 1, 1.0)]
        assert copying.problems(store) == []


def test_outcomes_do_not_wait_for_each_other(make: Make) -> None:
    url = make()
    if url.startswith("sqlite"):
        pytest.skip("SQLite has one writer")
    with OutcomeStore(url) as store, OutcomeStore(url) as other:
        with store.transaction() as connection:
            ingest(connection, rows_of(lines(outcome("a")))[0])
            assert other.write(lines(outcome("b", **{"class": "words"}))).new == 1
        assert [row[:2] for row in counts(store)] == [("sums", 1), ("words", 1)]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_label_counts_once_whenever_it_comes(store: OutcomeStore, order: tuple[int, ...]) -> None:
    batches = [lines(outcome("a")), lines(label("a", 0.5)), lines(label("a", 0.5), outcome("a"))]
    for number in order:
        store.write(batches[number])
    assert counts(store) == [("sums", 1, 120, 1, 1, 0.5)]
    assert copying.problems(store) == []


def test_a_label_of_a_graded_answer_changes_no_sum(store: OutcomeStore) -> None:
    store.write(lines(outcome("a", correct=True), label("a", 0.0)))
    assert counts(store) == [("sums", 1, 120, 1, 1, 1.0)]


def test_what_can_never_be_kept_does_not_hold_up_the_rest(store: OutcomeStore) -> None:
    good = lines(outcome("a"), outcome("b\0", **{"class": "nul\0", "model": "half \ud83d"}))
    bad = [b"{torn\n", b"[]\n", *lines({"id": "no more"}, {"kind": "new"}, outcome(""))]
    late = lines(outcome("c", tokens=2**70), outcome("d", seconds=float("nan")))
    assert store.write([*good, *bad, *late]) == Written(2, 0, 7)
    assert ids(store) == ["a", "b\0"]
    assert counts(store)[0][1:3] == (1, 120)


def test_outcomes_are_found_by_what_they_are(store: OutcomeStore) -> None:
    store.write(
        lines(
            outcome("a", **{"class": "hard"}, correct=False, tokens=900),
            outcome("b", at=NOW - 3 * DAY),
            outcome("c", plan=None),
            label("c", 0.2),
        )
    )
    assert ids(store, OutcomeFilter(query_class="hard")) == ["a"]
    assert ids(store, OutcomeFilter(wrong=True)) == ["a", "c"]
    assert ids(store, OutcomeFilter(since=NOW - DAY)) == ["a", "c"]
    assert ids(store, OutcomeFilter(until=NOW - DAY)) == ["b"]
    assert ids(store, OutcomeFilter(plan="")) == ["c"]
    assert ids(store, OutcomeFilter(least_tokens=500)) == ["a"]
    with store.transaction() as connection:
        assert [line["id"] for line in find(connection, newest=2)] == ["b", "c"]
        assert [line["id"] for line in find(connection, after=2)] == ["c"]
        assert by_id(connection, "c")["reward"] == 0.2
        for name in ("", "%", "nobody"):
            with pytest.raises(ValueError, match="outcome begins with"):
                by_id(connection, name)


def test_an_outcome_is_explained_with_what_would_have_been_cheaper(store: OutcomeStore) -> None:
    points = [
        {"kind": "votes", "x": number, "accuracy": accuracy, "tokens": tokens}
        for number, accuracy, tokens in ((1, 0.6, 30.0), (2, 0.72, 60.0), (8, 0.8, 240.0))
    ]
    snapshot = [{"model": "m", "class": "sums", "curve": {"points": points}}]
    store.write(lines(outcome("abc"), curves_record("one", snapshot)))
    with store.transaction() as connection:
        line, curve = by_id(connection, "ab"), newest_curve(connection, "m", "sums")
        assert newest_curve(connection, "m", "other") is None
    assert curve is not None
    assert [way.name for way in cheaper_then(line)] == [
        "until more thinking does not pay",
        "to its own end",
    ]
    assert [way.name for way in cheaper_now(line, curve)] == ["votes 2"]
    told = explain(line, curve)
    for part in ("policy priced", "step 2: draw 1 chain", "120 tokens (100 reasoning, 20 answer)",
                 "chosen with probability 0.9", "votes 2: 72.0% for 60 tokens"):  # fmt: skip
        assert part in told
    assert "no snapshot" not in told


def test_served_traffic_is_summed_from_outcomes_and_from_days(store: OutcomeStore) -> None:
    store.write(
        lines(
            outcome("a", tokens=300, correct=True),
            outcome("b", tokens=100, chance=None),
            label("b", 0.0),
            outcome("c", **{"class": "old"}, at=NOW - 5 * DAY),
        )
    )
    for since, expected in ((NOW - DAY, ["sums"]), (NOW - 10 * DAY, ["sums", "old"])):
        with store.transaction() as connection:
            rows = served(connection, since=since, now=NOW)
        assert [row.query_class for row in rows] == expected
        first = rows[0]
        assert (first.outcomes, first.tokens, first.labelled) == (2, 400, 2)
        assert (first.tokens_each, first.right, first.chance) == (200.0, 0.5, 0.75)


def test_old_outcomes_go_and_their_sums_stay(store: OutcomeStore) -> None:
    old = [outcome(f"o{number}", at=NOW - 40 * DAY) for number in range(3)]
    store.write(lines(*old, outcome("new"), outcome("ancient", at=NOW - 900 * DAY)))
    assert store.prune(days=30, rollup_days=730) == 4
    assert ids(store) == ["new"]
    assert sum(row[1] for row in counts(store) if isinstance(row[1], int)) == 4
    assert copying.problems(store) == []
    assert store.prune(days=30, rollup_days=730, now=NOW + 400 * DAY) == 0


def test_the_newest_state_of_a_job_counts(store: OutcomeStore) -> None:
    first = job_record("j", "in_progress", begun=NOW, total=10, completed=3, out="out.jsonl")
    last = first | {"state": "completed", "completed": 10, "updated": first["updated"] + 1}
    store.write(lines(last))
    store.write(lines(first))
    with store.transaction() as connection:
        stored = job(connection, "j")
        assert stored is not None
        assert (stored["state"], stored["completed"], stored["out"]) == (
            "completed", 10, "out.jsonl",
        )  # fmt: skip
        assert jobs(connection) == [stored]
        assert job(connection, "other") is None


def test_a_way_down_and_up_again_keeps_rows(make: Make) -> None:
    url = make()
    with OutcomeStore(url) as store:
        store.write(lines(outcome("a", correct=True), outcome("b"), label("b", 0.25)))
        before = counts(store)
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, METADATA) == []
    assert migrate(url, "0001") == ("0002", "0001")
    assert current(url) == "0001"
    with pytest.raises(schema.SchemaMismatch, match="0001.*needs 0002.*db upgrade"):
        OutcomeStore(url)
    assert migrate(url) == ("0001", "0002")
    with OutcomeStore(url) as store:
        assert ids(store) == ["a", "b"]
        assert counts(store) == before
    assert migrate(url, "base") == ("0002", None)
    with pytest.raises(ValueError, match="'9' .* base, 0001, 0002|no schema '9'"):
        migrate(url, "9")


def test_a_newer_schema_is_refused_by_its_name(make: Make) -> None:
    url = make()
    with OutcomeStore(url) as store, store.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    for open_it in (lambda: OutcomeStore(url), lambda: migrate(url)):
        with pytest.raises(schema.SchemaMismatch, match="0099, which is newer .* 0002"):
            open_it()


def test_a_store_is_copied_whole_into_either_kind(make: Make, tmp_path: Path) -> None:
    with OutcomeStore(make()) as store, OutcomeStore(f"sqlite:///{tmp_path}/backup.db") as backup:
        store.write(lines(outcome("a"), outcome("b"), label("a", 1.0)))
        with progress("rows", None) as bar:
            copying.copy(store, backup, bar)
            with OutcomeStore(make()) as back:
                copying.copy(backup, back, bar)
                assert back.write(lines(outcome("b"), outcome("c"))) == Written(1, 1, 0)
                assert ids(back) == ["a", "b", "c"]
                assert copying.problems(back) == []
            with pytest.raises(ValueError, match="not empty"):
                copying.copy(store, backup, bar)
            paths = copying.export(store, tmp_path / "parquet", bar)
    tables = {path.stem: pq.read_table(path).to_pylist() for path in paths}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "outcomes": 2, "decisions": 4, "feedback": 1, "rollups": 1, "curve_snapshots": 0,
        "batch_jobs": 0,
    }  # fmt: skip
    assert json.loads(tables["outcomes"][0]["payload"])["answer"] == "42"


def test_sums_that_are_wrong_are_found(store: OutcomeStore) -> None:
    store.write(lines(outcome("a")))
    with store.transaction() as connection:
        connection.execute(ROLLUPS.update().values(tokens=ROLLUPS.c.tokens + 1))
    (problem,) = copying.problems(store)
    assert "121" in problem
    assert "120" in problem


def test_a_reader_sees_what_an_owner_writes(make: Make) -> None:
    url = make()
    with OutcomeStore(url) as owner:
        owner.write(lines(outcome("a")))
        with OutcomeStore(url, reads=True) as reader:
            assert ids(reader) == ["a"]
            owner.write(lines(outcome("b")))
            assert ids(reader) == ["a", "b"]


def test_a_database_that_was_stopped_is_written_again_when_it_is_back(
    server: PostgresServer | None,
) -> None:
    if server is None:
        pytest.skip(str(missing()))
    with OutcomeStore(server.create("stopped")) as store:
        store.write(lines(outcome("a")))
        server.stop()
        with pytest.raises(StoreAway, match="127.0.0.1"):
            store.write(lines(outcome("b")))
        server.start()
        assert store.write(lines(outcome("a"), outcome("b"))) == Written(1, 1, 0)


def test_many_writers_on_one_database_count_each_line_once(
    server: PostgresServer | None,
) -> None:
    if server is None:
        pytest.skip(str(missing()))
    from concurrent.futures import ThreadPoolExecutor

    url = server.create("writers")
    names = [f"{number:04d}" for number in range(300)]

    def write(_: int) -> int:
        with OutcomeStore(url) as store:
            parts = (names[at : at + 100] for at in range(0, 300, 50))
            return sum(store.write(lines(*map(outcome, part))).new for part in parts)

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(write, range(4))) == 300
    with OutcomeStore(url, reads=True) as store:
        assert sorted(ids(store)) == names
        assert copying.problems(store) == []
        with store.transaction() as connection:
            assert connection.scalar(select(func.count()).select_from(OUTCOMES)) == 300
