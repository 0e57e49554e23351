"""Labels that come after the reply: joined, bounded, counted once, and kept."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.curves.class_statistics import ClassStatistics
from scheduler.curves.cache import CurveCache
from scheduler.curves.exchange import PackedUpdate, Report
from scheduler.curves.feedback import (
    HOUR,
    Feedback,
    FeedbackConfig,
    FeedbackResult,
    Label,
    PendingFeedback,
)
from scheduler.curves.records import LabelRecord, ObservationRecord
from scheduler.curves.store import CurveStore
from scheduler.curves.wal import DurableCurveStore, load
from tests.builders import ManualClock
from tests.scheduler.curves.files import copied
from tests.scheduler.observations import chain, votes


def unlabelled(seen: ObservationRecord) -> ObservationRecord:
    return seen._replace(observation=replace(seen.observation, right={}))


def answered(
    outcome: str = "a", *, key: str = "alice", record: ObservationRecord | None = None
) -> PendingFeedback:
    return PendingFeedback(outcome, key, "7", record or unlabelled(chain()))


def make(clock: ManualClock | None = None, **config: Any) -> Feedback:
    return Feedback(FeedbackConfig(**config), clock or ManualClock())


def test_a_label_is_joined_with_what_was_seen() -> None:
    feedback = make()
    feedback.remember(answered())
    result = feedback.judge(Label("a", "alice", 1.0))
    assert result.status == "learned"
    assert result.record is not None
    assert (result.record.answer, result.record.reward) == ("7", 1.0)


def test_the_same_label_again_is_no_other_and_another_is_refused() -> None:
    feedback = make()
    feedback.remember(answered())
    findings = [feedback.judge(Label("a", "alice", r)).status for r in (0.5, 0.5, 1.0, 0.5)]
    assert findings == ["learned", "repeated", "conflict", "repeated"]


def test_an_id_is_good_only_for_the_key_that_asked() -> None:
    feedback = make()
    feedback.remember(answered())
    assert feedback.judge(Label("a", "bob", 1.0)) == FeedbackResult("unknown")
    assert feedback.judge(Label("b", "alice", 1.0)) == FeedbackResult("unknown")


def test_answers_are_kept_in_bounds_of_number_and_time() -> None:
    clock = ManualClock()
    feedback = make(clock, kept=3, kept_seconds=10)
    for outcome in "abcd":
        feedback.remember(answered(outcome))
    assert feedback.judge(Label("a", "alice", 1.0)).status == "unknown"
    clock.now = 9.9
    assert feedback.judge(Label("b", "alice", 1.0)).status == "learned"
    clock.now = 10.0
    assert feedback.judge(Label("c", "alice", 1.0)).status == "unknown"
    feedback.remember(answered("e"))
    assert feedback.count == 1


def test_one_key_cannot_flood_a_class_with_labels() -> None:
    clock = ManualClock()
    feedback = make(clock, labels_per_hour=2)
    for outcome in "abcd":
        feedback.remember(answered(outcome))
    feedback.remember(answered("e", key="bob"))
    flood = [feedback.judge(Label(o, "alice", 0.0, is_bounded=True)) for o in "abc"]
    assert [result.status for result in flood] == ["learned", "learned", "limited"]
    assert flood[-1].retry_after == HOUR
    assert feedback.judge(Label("e", "bob", 0.0, is_bounded=True)).status == "learned"
    clock.now = HOUR
    assert feedback.judge(Label("c", "alice", 0.0, is_bounded=True)).status == "learned"
    assert feedback.judge(Label("d", "alice", 0.0)).status == "learned"


def test_nothing_is_learned_where_nothing_may_be_or_the_label_was_known() -> None:
    feedback = make()
    feedback.remember(PendingFeedback("a", "alice", "7", None))
    feedback.remember(PendingFeedback("b", "alice", None, unlabelled(chain())))
    feedback.remember(PendingFeedback("c", "alice", "7", chain()))
    for outcome in "abc":
        assert feedback.judge(Label(outcome, "alice", 1.0)) == FeedbackResult("noted")


@pytest.mark.parametrize(
    "settings", [{"kept": -1}, {"kept_seconds": 0.0}, {"labels_per_hour": True}, {"kept": 1.5}]
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        FeedbackConfig(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("observe", [chain, votes])
@pytest.mark.parametrize("reward", [0.0, 1.0])
async def test_a_label_that_comes_later_moves_the_curve_as_one_that_was_there(
    observe: Any, reward: float
) -> None:
    then, later = CurveStore(), DurableCurveStore()
    for number in range(30):
        seen = observe()
        right = {"7": bool(reward)} | ({"8": False} if observe is votes and reward else {})
        then.observe(seen._replace(observation=_labelled(seen, right)))
        later.observe(unlabelled(seen))
        later.remember(answered(str(number), record=unlabelled(seen)))
    before = _accuracy(later.store)
    for number in range(30):
        result = await later.label(Label(str(number), "alice", reward))
        assert result.status == "learned"
    was_there = _statistics(then).as_dict()
    assert was_there["referenced"] == 30
    assert _statistics(later.store).as_dict() == was_there | {"referenced": 0.0}
    assert (_accuracy(later.store) - before) * (reward - 0.5) > 0
    assert (_statistics(later.store).queries, _statistics(later.store).labelled) == (30, 30)


def _labelled(seen: ObservationRecord, right: dict[str, bool]) -> Any:
    return replace(seen.observation, right=right)


def _statistics(store: CurveStore) -> ClassStatistics:
    return store.entries["m", "sums"].statistics


def _accuracy(store: CurveStore) -> float:
    curve = store.curve("m", "sums")
    assert curve is not None
    shown = curve.extension or curve.votes
    assert shown is not None
    return shown.accuracy[0]


def test_a_label_of_a_class_that_was_folded_goes_where_its_queries_went() -> None:
    store = CurveStore()
    late = LabelRecord("m", unlabelled(chain(query_class="rare")).observation, "7", 1.0)
    store.learn(late)
    assert store.entries == {}
    store.observe(unlabelled(chain(query_class="other")))
    store.learn(late)
    assert store.entries["m", "other"].statistics.labelled == 1


class SharedStore:
    """The one store behind a network that may be down."""

    def __init__(self, kept: DurableCurveStore) -> None:
        self.kept, self.is_down = kept, False

    async def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate:
        await asyncio.sleep(0)
        if self.is_down:
            raise ConnectionError("down")
        return self.kept.exchange(report, epoch, version)

    async def label(self, label: Label) -> FeedbackResult:
        if self.is_down:
            raise ConnectionError("down")
        return await self.kept.label(label)

    async def export(self) -> dict[str, Any]:
        return self.kept.store.as_dict()


def test_a_label_may_come_before_its_answer_was_reported_and_to_another_controller() -> None:
    async def main() -> None:
        shared = SharedStore(DurableCurveStore())
        first, second = CurveCache(shared), CurveCache(shared)
        seen = unlabelled(chain())
        first.observe(seen)
        first.remember(answered("a", record=seen))
        assert (await first.label(Label("a", "alice", 1.0))).status == "learned"
        first.observe(seen)
        first.remember(answered("b", record=seen))
        await first.exchange()
        assert (await second.label(Label("b", "alice", 0.0))).status == "learned"
        statistics = _statistics(shared.kept.store)
        assert (statistics.queries, statistics.labelled) == (2, 2)

    asyncio.run(main())


def test_a_label_while_the_book_is_away_is_refused_and_can_come_again() -> None:
    async def main() -> None:
        shared = SharedStore(DurableCurveStore())
        copy = CurveCache(shared)
        copy.observe(unlabelled(chain()))
        copy.remember(answered())
        shared.is_down = True
        with pytest.raises(ConnectionError):
            await copy.label(Label("a", "alice", 1.0))
        shared.is_down = False
        assert (await copy.label(Label("a", "alice", 1.0))).status == "learned"
        assert _statistics(shared.kept.store).queries == 1

    asyncio.run(main())


def test_exchanges_at_one_time_lose_and_double_nothing() -> None:
    async def main() -> None:
        shared = SharedStore(DurableCurveStore())
        copy = CurveCache(shared)

        async def label(number: int) -> None:
            copy.observe(unlabelled(chain()))
            copy.remember(answered(str(number)))
            await copy.label(Label(str(number), "alice", 1.0))

        await asyncio.gather(*(label(n) for n in range(20)), *(copy.exchange() for _ in range(20)))
        statistics = _statistics(shared.kept.store)
        assert (statistics.queries, statistics.labelled) == (20, 20)

    asyncio.run(main())


async def test_what_labels_taught_survives_a_kill_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    kept = DurableCurveStore(path)
    seen = unlabelled(chain())
    kept.exchange(Report("w", 1, [seen], (answered("a", record=seen),)), "", 0)
    assert (await kept.label(Label("a", "alice", 1.0))).status == "learned"
    path = copied(path)  # as a kill leaves it: the snapshot knows nothing yet
    kept.close()
    again = DurableCurveStore(path)
    statistics = _statistics(again.store)
    assert (statistics.queries, statistics.labelled) == (1, 1)
    assert (await again.label(Label("a", "alice", 1.0))).status == "unknown"
    again.close()
    assert _statistics(load(path)).labelled == 1
