"""The spool gives every line to the store at least once, in order, whatever ends its process."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scheduler.store.spool import MIB, Spool, SpoolFull


def line(number: int) -> bytes:
    return f"{number:09d}\n".encode()


def drained(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (batch := spool.take(most_lines=7, most_bytes=65)) is not None:
        found += batch.lines
        spool.done(batch)
    return found


def crash(spool: Spool) -> None:
    """What the end of a process does to its files: they are closed, and so unlocked."""
    for part in spool._all():
        os.close(part.file)


def test_lines_come_out_in_order_and_leave_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, mib=1, part_bytes=100)
    for number in range(55):
        spool.append(line(number))
    assert spool.waiting_bytes == 550
    assert drained(spool) == [line(number) for number in range(55)]
    assert spool.waiting_bytes == 0
    spool.close()
    assert [*tmp_path.iterdir()] == []


def test_what_was_not_sent_is_left_to_the_next_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, mib=1, part_bytes=100)
    for number in range(25):
        spool.append(line(number))
    batch = spool.take(most_lines=10, most_bytes=100)
    assert batch is not None
    spool.done(batch)
    spool.close()
    after = Spool(tmp_path, mib=1)
    assert after.adopt() == 150
    assert sorted(drained(after)) == [line(number) for number in range(10, 25)]


def test_parts_of_a_process_that_lives_are_not_taken(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, mib=1), Spool(tmp_path, mib=1)
    first.append(line(1))
    assert second.adopt() == 0
    crash(first)
    assert second.adopt() == 10
    assert drained(second) == [line(1)]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "dead-1.jsonl").write_bytes(line(1) + b"torn")
    (tmp_path / "dead-2.jsonl").write_bytes(b"torn")
    spool = Spool(tmp_path, mib=1)
    assert spool.adopt() == 10
    assert drained(spool) == [line(1)]


def test_lines_past_the_cap_are_refused_until_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, mib=100 / MIB, part_bytes=50)
    for number in range(10):
        spool.append(line(number))
    with pytest.raises(SpoolFull, match="cap"):
        spool.append(line(10))
    assert len(drained(spool)) == 10
    spool.append(line(11))
    assert drained(spool) == [line(11)]


def test_a_line_longer_than_a_batch_is_taken_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, mib=1)
    long = b"x" * 5000 + b"\n"
    spool.append(long)
    spool.append(line(1))
    batch = spool.take(most_lines=10, most_bytes=100)
    assert batch is not None
    assert batch.lines == [long]


class SpoolMachine(RuleBasedStateMachine):
    """Appends, sends, failed sends and crashes in any order; the store knows what it has."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.given: list[bytes] = []
        self.stored: set[bytes] = set()
        self.spool = self.begin()

    def begin(self) -> Spool:
        spool = Spool(Path(self._folder.name), mib=1, part_bytes=64)
        spool.adopt()
        return spool

    @rule(count=st.integers(1, 20))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.given.append(line(len(self.given)))
            self.spool.append(self.given[-1])

    @rule(most=st.integers(1, 9), confirmed=st.booleans())
    def send(self, most: int, confirmed: bool) -> None:
        batch = self.spool.take(most_lines=most, most_bytes=200)
        if batch is not None:
            self.stored |= set(batch.lines)
            if confirmed:
                self.spool.done(batch)

    @rule()
    def die(self) -> None:
        crash(self.spool)
        self.spool = self.begin()

    @rule()
    def tidy(self) -> None:
        self.spool.tidy()

    @rule()
    def end(self) -> None:
        self.spool.close()
        self.spool = self.begin()

    @invariant()
    def nothing_is_made_up(self) -> None:
        assert self.stored <= set(self.given)

    def teardown(self) -> None:
        assert self.stored | set(drained(self.spool)) == set(self.given)
        self.spool.close()
        assert [*Path(self._folder.name).iterdir()] == []
        self._folder.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
