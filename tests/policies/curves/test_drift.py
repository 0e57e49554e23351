"""Old queries decay, changes are noticed, and a class that changed starts almost anew."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.class_statistics import ClassStatistics
from policies.curves.drift import QUERIES_AFTER_DRIFT, Adwin, DriftDetector, decay, warm_start
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Probe
from policies.tally import Vote

BUDGET = Budget(1000)


def coin(window: Adwin, rng: Random, chance: float, throws: int) -> int | None:
    """Throws until a change is noticed; None if it is not."""
    for thrown in range(throws):
        if window.add(float(rng.random() < chance)):
            return thrown + 1
    return None


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.99])
def test_false_alarms_are_rarer_than_one_in_twenty_thousand(chance: float) -> None:
    rng, alarms, throws = Random(7), 0, 80_000
    window = Adwin()
    for _ in range(throws):
        alarms += window.add(float(rng.random() < chance))
    assert alarms <= throws / 20_000 / 2


@pytest.mark.parametrize(
    ("before", "after", "most"), [(0.9, 0.4, 100), (0.9, 0.6, 200), (0.4, 0.9, 100)]
)
def test_a_coin_that_changes_is_noticed_soon(before: float, after: float, most: int) -> None:
    for seed in range(10):
        window, rng = Adwin(), Random(seed)
        coin(window, rng, before, 500)
        noticed = coin(window, rng, after, most)
        assert noticed is not None
        assert abs(window.mean - after) < abs(window.mean - before)


@given(st.lists(st.floats(0, 1), max_size=300))
def test_a_window_is_small_and_loses_no_value_without_a_cut(values: list[float]) -> None:
    window, kept = Adwin(), []
    for value in values:
        kept.append(value)
        if window.add(value):
            assert window.count < len(kept)
            kept = kept[-window.count :]
    assert window.count == len(kept)
    assert window.mean * window.count == pytest.approx(sum(kept))
    assert all(len(level) <= 5 for level in window.levels)
    assert len(window.levels) <= 9


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_value_outside_of_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"value .*{value}"):
        Adwin().add(value)


def chain(length: int, *, right: bool = True, cap: bool = False) -> Observation:
    cause = "max_thinking" if cap else "natural"
    plan = Plan("fixed", BUDGET, 0.0)
    history = (
        Vote(0, "7", length + 6, length, 0, cause),
        Vote(0, "7", 2 * length, 2 * length, 1, "extensions"),
    )
    return Observation("c", history, BUDGET, 0.0, plan, {"7": right})


def test_longer_thinking_is_a_change() -> None:
    watch, rng = DriftDetector(), Random(1)
    assert not any(watch.observe(chain(rng.randint(80, 120))) for _ in range(500))
    assert any(watch.observe(chain(rng.randint(300, 500))) for _ in range(100))


def test_a_cut_chain_tells_of_no_change() -> None:
    watch = DriftDetector()
    for length in [100] * 300 + [1000] * 300:
        assert not watch.observe(chain(length, cap=length == 1000))
        assert not watch.observe(chain(1000, right=False))
    assert watch.windows["greedy right"].mean == 1.0


def test_of_a_chain_that_may_be_concluded_only_its_first_trial_tells_of_a_change() -> None:
    def tried(sure: float, length: int) -> Observation:
        setting = ChainSetting("exit", 1e-4, tried=True)
        vote = Vote(0, "7", length, length, 0, "early_exit")
        plan = Plan("exit", BUDGET, 0.0, setting=setting)
        return Observation("c", (vote,), BUDGET, 0.0, plan, {"7": True}, (Probe(0, 64, "7", sure),))

    watch = DriftDetector()
    assert not any(watch.observe(tried(0.9, length)) for length in [100] * 200 + [900] * 200)
    assert watch.windows["trial right"].mean == 1.0
    assert any(watch.observe(tried(0.2, 900)) for _ in range(50))


def test_a_chain_that_was_forced_on_before_it_is_extended_does_not_pass_for_a_first_thinking() -> (
    None
):
    plan = Plan("extend", BUDGET, 0.0, setting=ChainSetting("extend", 1e-4))
    forced = Vote(0, "7", 900, 900, 2, "extensions")
    watch = DriftDetector()
    for _ in range(50):
        assert not watch.observe(chain(60, right=False))
        assert not watch.observe(Observation("c", (forced,), BUDGET, 0.0, plan, {"7": True}))
    assert watch.windows["greedy right"].mean == 0.0
    assert watch.windows["greedy right"].count == 50


def test_a_watch_survives_being_written_and_read() -> None:
    watch = DriftDetector()
    for length in range(1, 60):
        watch.observe(chain(length))
    assert DriftDetector.from_dict(watch.as_dict()) == watch


def seen(queries: int) -> ClassStatistics:
    statistics = ClassStatistics()
    for _ in range(queries):
        statistics.observe(chain(50))
    return statistics


def test_statistics_fade_to_what_they_may_count_and_no_further() -> None:
    few, many = seen(5), seen(200)
    decay(few, QUERIES_AFTER_DRIFT)
    decay(many, QUERIES_AFTER_DRIFT)
    assert few == seen(5)
    assert many.queries == pytest.approx(QUERIES_AFTER_DRIFT)
    assert many.plans.ends.visits[0] == pytest.approx(QUERIES_AFTER_DRIFT)
    decay(many)
    assert many.queries == pytest.approx(QUERIES_AFTER_DRIFT)


def test_an_heir_knows_little_and_leaves_its_predecessor_alone() -> None:
    old = seen(100)
    heir = warm_start(old)
    assert heir.queries == pytest.approx(QUERIES_AFTER_DRIFT)
    assert old == seen(100)


@pytest.mark.parametrize(
    ("setting", "ended", "mean"),
    [
        (ChainSetting("exit", 1e-4, tried=True), "early_exit", 70),
        (ChainSetting("forced", 3), "extensions", 900),
    ],
)
def test_another_joint_plan_is_no_change_of_its_class(
    setting: ChainSetting, ended: str, mean: float
) -> None:
    detector, rng = DriftDetector(), Random(0)

    def changed(setting: ChainSetting, ended: str, mean: float) -> bool:
        thought = int(mean * 2 ** rng.gauss(0, 0.3))
        vote = Vote(0, "7", thought + 10, thought, setting.forced, ended)
        budget = Budget(10_000)
        plan = Plan("joint", budget, setting=setting)
        return detector.observe(Observation("c", (vote,), budget, None, plan))

    assert not any(changed(ChainSetting(), "natural", 300) for _ in range(200))
    assert not any(changed(setting, ended, mean) for _ in range(200))
    assert any(changed(ChainSetting(), "natural", 3000) for _ in range(100))
