"""Counting goes on while many classes are to be fitted; curves come as time allows."""

import pytest

from scheduler.curves.exchange import Report
from scheduler.curves.pace import Pace
from scheduler.curves.store import OTHER, CurveStore
from scheduler.curves.wal import DurableCurveStore
from tests.scheduler.observations import chain, votes


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_work_takes_its_share_of_the_time() -> None:
    clock = Clock()
    pace, worked = Pace(share=0.25, most_seconds=1.0, clock=clock), 0.0
    for _ in range(1000):
        while pace.allows:
            with pace.working():
                clock.now += 0.3
                worked += 0.3
        clock.now += 0.1
    assert worked / clock.now == pytest.approx(0.25, abs=0.02)


def test_time_that_was_left_is_kept_up_to_a_bound() -> None:
    clock = Clock()
    pace = Pace(share=0.5, most_seconds=2.0, clock=clock)
    clock.now += 1000.0
    parts = 0
    while pace.allows:
        with pace.working():
            clock.now += 1.0
        parts += 1
    assert parts == 4  # two seconds were kept, and half of these four came meanwhile


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"share .*{share}"):
        Pace(share=share)


def test_what_is_reported_counts_at_once_and_is_fitted_later() -> None:
    clock = Clock()
    kept = DurableCurveStore(pace=Pace(share=0.5, most_seconds=1e-9, clock=clock))
    store = kept.store
    store.take(Report("a", 1, [chain(query_class=str(number)) for number in range(50)]))
    assert sum(entry.statistics.queries for entry in store.entries.values()) == 50
    assert all(entry.curve is None for entry in store.entries.values())
    assert len(kept.exchange(Report("a", 2, []), "", 0).curves) == 50  # by a clock that stands


def test_a_class_without_a_curve_goes_first_and_then_the_one_that_grew_most() -> None:
    store = CurveStore(pace=Pace(clock=Clock()))
    store.take(Report("a", 1, [*[chain()] * 10, *[chain(query_class="words")] * 10]))
    store.update()
    store.take(Report("a", 2, [*[chain()] * 2, *[chain(query_class="words")] * 9]))
    store.take(Report("a", 3, [votes(query_class="new")]))
    order = sorted(store.entries.items(), key=lambda item: item[1].urgency, reverse=True)
    assert [name for (_, name), _ in order] == ["new", "words", "sums"]


def test_folded_classes_are_fitted_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.curves.store.MAX_CLASSES", 3)
    store = CurveStore(pace=Pace(clock=Clock()))
    for number in range(20):
        store.take(Report("a", number + 1, [chain(query_class=str(number))]))
    update = store.update()
    assert update.curves.keys() == store.entries.keys()
    assert ("m", OTHER) in update.curves
