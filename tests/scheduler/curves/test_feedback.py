"""Labels that come after the reply: joined, bounded, counted once, and kept."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.curves.curve import ClassStatistics
from scheduler.curves.cache import CurveCache
from scheduler.curves.feedback import (
    HOUR,
    Feedback,
    FeedbackConfig,
    FeedbackResult,
    Label,
    PendingFeedback,
)
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import CurveStore, CurveUpdate, Report
from scheduler.curves.wal import DurableCurveStore, load
from tests.scheduler.observations import chain, votes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def unlabelled(seen: ObservationRecord) -> ObservationRecord:
    return seen._replace(observation=replace(seen.observation, right={}))


def answered(
    outcome: str = "a", *, key: str = "alice", seen: ObservationRecord | None = None
) -> PendingFeedback:
    return PendingFeedback(outcome, key, "7", seen or unlabelled(chain()))


def make(clock: Clock | None = None, **config: Any) -> Feedback:
    return Feedback(FeedbackConfig(**config), clock or Clock())


def test_a_label_is_joined_with_what_was_seen() -> None:
    feedback = make()
    feedback.remember(answered())
    verdict = feedback.judge(Label("a", "alice", 1.0))
    assert verdict.status == "learned"
    assert verdict.seen is not None
    assert (verdict.seen.answer, verdict.seen.reward) == ("7", 1.0)


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
    clock = Clock()
    feedback = make(clock, kept=3, kept_seconds=10)
    for outcome in "abcd":
        feedback.remember(answered(outcome))
    assert feedback.judge(Label("a", "alice", 1.0)).status == "unknown"
    clock.now = 9.9
    assert feedback.judge(Label("b", "alice", 1.0)).status == "learned"
    clock.now = 10.0
    assert feedback.judge(Label("c", "alice", 1.0)).status == "unknown"
    feedback.remember(answered("e"))
    assert len(feedback._kept) == 1


def test_e3_23_one_key_cannot_flood_a_class_with_labels() -> None:
    clock = Clock()
    feedback = make(clock, labels_per_hour=2)
    for outcome in "abcd":
        feedback.remember(answered(outcome))
    feedback.remember(answered("e", key="bob"))
    flood = [feedback.judge(Label(o, "alice", 0.0, is_bounded=True)) for o in "abc"]
    assert [verdict.status for verdict in flood] == ["learned", "learned", "limited"]
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


@pytest.mark.parametrize("observe", [chain, votes])
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_a_label_that_comes_later_moves_the_curve_as_one_that_was_there(
    observe: Any, reward: float
) -> None:
    async def main() -> None:
        then, later = CurveStore(), CurveStore()
        for number in range(30):
            seen = observe()
            right = {"7": bool(reward)} | ({"8": False} if observe is votes and reward else {})
            then.observe(seen._replace(observation=_labelled(seen, right)))
            later.observe(unlabelled(seen))
            later.remember(answered(str(number), seen=unlabelled(seen)))
        before = _accuracy(later)
        for number in range(30):
            verdict = await later.label(Label(str(number), "alice", reward))
            assert verdict.status == "learned"
        was_there = _statistics(then).as_dict()
        assert was_there["referenced"] == 30
        assert _statistics(later).as_dict() == was_there | {"referenced": 0.0}
        assert (_accuracy(later) - before) * (reward - 0.5) > 0
        assert (_statistics(later).queries, _statistics(later).labelled) == (30, 30)

    asyncio.run(main())


def _labelled(seen: ObservationRecord, right: dict[str, bool]) -> Any:
    return replace(seen.observation, right=right)


def _statistics(book: CurveStore) -> ClassStatistics:
    return book._leaves["m", "sums"].statistics


def _accuracy(book: CurveStore) -> float:
    curve = book.curve("m", "sums")
    assert curve is not None
    shown = curve.extension or curve.votes
    assert shown is not None
    return shown.accuracy[0]


def test_a_label_of_a_class_that_was_folded_goes_where_its_queries_went() -> None:
    book = CurveStore()
    late = unlabelled(chain(query_class="rare"))._replace(answer="7", reward=1.0)
    book.observe(late)
    assert book._leaves == {}
    book.observe(unlabelled(chain(query_class="other")))
    book.observe(late)
    assert book._leaves["m", "other"].statistics.labelled == 1


class Far:
    """The one book behind a network that may be down."""

    def __init__(self, kept: DurableCurveStore) -> None:
        self.kept, self.is_down = kept, False

    async def exchange(self, report: Report, life: str, version: int) -> CurveUpdate:
        await asyncio.sleep(0)
        if self.is_down:
            raise ConnectionError("down")
        return self.kept.exchange(report, life, version)

    async def label(self, label: Label) -> FeedbackResult:
        if self.is_down:
            raise ConnectionError("down")
        return self.kept.label(label)

    async def export(self) -> dict[str, Any]:
        return self.kept.book.as_dict()


def test_a_label_may_come_before_its_answer_was_reported_and_to_another_controller() -> None:
    async def main() -> None:
        far = Far(DurableCurveStore())
        first, second = CurveCache(far), CurveCache(far)
        seen = unlabelled(chain())
        first.observe(seen)
        first.remember(answered("a", seen=seen))
        assert (await first.label(Label("a", "alice", 1.0))).status == "learned"
        first.observe(seen)
        first.remember(answered("b", seen=seen))
        await first.exchange()
        assert (await second.label(Label("b", "alice", 0.0))).status == "learned"
        statistics = _statistics(far.kept.book)
        assert (statistics.queries, statistics.labelled) == (2, 2)

    asyncio.run(main())


def test_a_label_while_the_book_is_away_is_refused_and_can_come_again() -> None:
    async def main() -> None:
        far = Far(DurableCurveStore())
        copy = CurveCache(far)
        copy.observe(unlabelled(chain()))
        copy.remember(answered())
        far.is_down = True
        with pytest.raises(ConnectionError):
            await copy.label(Label("a", "alice", 1.0))
        far.is_down = False
        assert (await copy.label(Label("a", "alice", 1.0))).status == "learned"
        assert _statistics(far.kept.book).queries == 1

    asyncio.run(main())


def test_exchanges_at_one_time_lose_and_double_nothing() -> None:
    async def main() -> None:
        far = Far(DurableCurveStore())
        copy = CurveCache(far)

        async def label(number: int) -> None:
            copy.observe(unlabelled(chain()))
            copy.remember(answered(str(number)))
            await copy.label(Label(str(number), "alice", 1.0))

        await asyncio.gather(*(label(n) for n in range(20)), *(copy.exchange() for _ in range(20)))
        statistics = _statistics(far.kept.book)
        assert (statistics.queries, statistics.labelled) == (20, 20)

    asyncio.run(main())


def test_what_labels_taught_survives_a_kill_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    kept = DurableCurveStore(path)
    seen = unlabelled(chain())
    kept.exchange(Report("w", 1, [seen], (answered("a", seen=seen),)), "", 0)
    assert kept.label(Label("a", "alice", 1.0)).status == "learned"
    kept._log.close()  # as a kill leaves it: the snapshot knows nothing yet
    again = DurableCurveStore(path)
    statistics = _statistics(again.book)
    assert (statistics.queries, statistics.labelled) == (1, 1)
    assert again.label(Label("a", "alice", 1.0)).status == "unknown"
    again.close()
    assert _statistics(load(path)).labelled == 1
