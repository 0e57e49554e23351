"""A gateway's cache reports everything to the store once, whatever gets lost on the way."""

import asyncio
from typing import Any

import pytest

from scheduler.curves import cache as curve_cache
from scheduler.curves.cache import CurveCache
from scheduler.curves.exchange import PackedUpdate, Report
from scheduler.curves.feedback import FeedbackResult, Label
from scheduler.curves.store import CurveStore
from scheduler.curves.wal import DurableCurveStore
from tests.scheduler.observations import chain


class Away(Exception):
    """The store cannot be reached."""


class FlakyStore:
    """A store behind a network that loses requests, or the replies to them."""

    def __init__(self, *faults: str) -> None:
        self.kept = DurableCurveStore()
        self._faults = list(faults)

    async def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate:
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "request lost":
            raise Away
        update = self.kept.exchange(report, epoch, version)
        if fault == "reply lost":
            raise Away
        return update

    async def label(self, label: Label) -> FeedbackResult:
        return await self.kept.label(label)

    async def export(self) -> dict[str, Any]:
        return self.kept.store.as_dict()


def counted(store: CurveStore) -> float:
    return sum(entry.statistics.queries for entry in store.entries.values())


@pytest.mark.parametrize("fault", ["request lost", "reply lost"])
def test_what_gets_lost_is_told_again_and_counts_once(fault: str) -> None:
    async def main() -> None:
        shared = FlakyStore("", fault, fault)
        copy = CurveCache(shared)
        for _ in range(5):
            copy.observe(chain())
            try:
                await copy.exchange()
            except Away:
                assert not copy.is_confirmed
        await copy.exchange()
        assert counted(shared.kept.store) == 5
        curve = copy.curve("m", "sums")
        assert curve is not None and curve.queries == 5

    asyncio.run(main())


def test_a_book_that_starts_again_gives_its_curves_again() -> None:
    async def main() -> None:
        shared = FlakyStore()
        copy = CurveCache(shared)
        for _ in range(30):
            copy.observe(chain())
        await copy.exchange()
        shared.kept = DurableCurveStore()
        copy.observe(chain(query_class="words"))
        await copy.exchange()
        assert copy.curve("m", "words") is not None
        assert copy.curve("m", "sums") is not None

    asyncio.run(main())


def test_two_controllers_add_up() -> None:
    async def main() -> None:
        shared = FlakyStore()
        copies = [CurveCache(shared), CurveCache(shared)]
        for copy in copies * 3:
            copy.observe(chain())
            await copy.exchange()
        assert counted(shared.kept.store) == 6

    asyncio.run(main())


def test_what_a_book_that_is_away_for_long_cannot_be_told_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(curve_cache, "MAX_SPOOLED", 3)
    copy = CurveCache(FlakyStore())
    for _ in range(5):
        copy.observe(chain())
    assert copy.dropped == 2


def test_curves_of_folded_classes_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(curve_cache, "MAX_CLASSES", 3)
        monkeypatch.setattr("scheduler.curves.store.MAX_CLASSES", 3)
        copy = CurveCache(FlakyStore())
        for number in range(40):
            copy.observe(chain(query_class=str(number)))
            await copy.exchange()
        assert copy.count <= 8

    asyncio.run(main())
