"""What is counted of tried chains: states, sums, and what is refused."""

import json
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.exit_statistics import (
    POSITIONS,
    START,
    ExitState,
    ExitStatistics,
    ProbeTrajectory,
    trials,
)
from policies.signals import Probe
from tests.policies.exit_population import trajectory


def probe(tokens: int, answer: str | None, probability: float = 0.5) -> Probe:
    return Probe(0, tokens, answer, probability)


def seen(seed: int, chains: int = 5) -> ExitStatistics:
    rng, statistics = Random(seed), ExitStatistics()
    for _ in range(chains):
        statistics.add(trajectory(rng, labelled=0.5, leave_after=rng.choice([None, 2])))
    return statistics


def flat(statistics: ExitStatistics) -> list[float]:
    rows = statistics.counts.rows().values()
    return [x for row in rows for x in row] + [x for _, x in sorted(statistics.onward.items())]


def test_equal_answers_in_a_row_are_counted_up_to_three() -> None:
    answers = ["a", "b", "b", "b", "b", None, None]
    tried = [probe(POSITIONS[n], answer) for n, answer in enumerate(answers)]
    assert [trial.state.run for trial in trials(tried)] == [1, 1, 2, 3, 3, 1, 1]


def test_a_state_tells_how_far_and_how_sure_a_chain_is() -> None:
    tried = [probe(64, "a", 0.1), probe(200, "a", 0.95), probe(10**6, "b", 1.0)]
    assert [trial.state for trial in trials(tried)] == [
        ExitState(0, 0, 1),
        ExitState(3, 2, 2),
        ExitState(len(POSITIONS) - 1, 3, 1),
    ]


def test_of_several_trials_within_one_step_the_first_counts() -> None:
    tried = [probe(64, "a"), probe(80, "b"), probe(100, "a")]
    assert [(trial.probe.thinking_tokens, trial.state.run) for trial in trials(tried)] == [
        (64, 1),
        (100, 2),
    ]


def test_every_state_has_a_row_of_its_own() -> None:
    rows = {
        ExitState(step, sureness, run).row
        for step in range(len(POSITIONS))
        for sureness in range(4)
        for run in (1, 2, 3)
    }
    assert rows == set(range(START))


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_merging_commutes_and_associates(one: int, two: int, three: int) -> None:
    def merged(*seeds: int) -> ExitStatistics:
        total = ExitStatistics()
        for seed in seeds:
            total.merge(seen(seed))
        return total

    assert flat(merged(one, two)) == pytest.approx(flat(merged(two, one)))
    right = seen(one)
    right.merge(merged(two, three))
    assert flat(merged(one, two, three)) == pytest.approx(flat(right))


def test_forgetting_half_of_two_equal_halves_leaves_one() -> None:
    twice = seen(1)
    twice.merge(seen(1))
    twice.scale(0.5)
    assert flat(twice) == pytest.approx(flat(seen(1)))


def test_statistics_survive_json() -> None:
    stored = json.loads(json.dumps(seen(3).as_dict()))
    assert flat(ExitStatistics.from_dict(stored)) == flat(seen(3))


def test_every_trial_leads_on_to_another_or_to_an_end() -> None:
    statistics = seen(4, chains=50)
    left = sum(statistics.onward.values()) + sum(statistics.counts.ended)
    states = 50 + sum(statistics.onward.values())
    concluded = 50 - sum(statistics.counts.ended)
    assert left == pytest.approx(states - concluded)


@pytest.mark.parametrize(
    ("probes", "tokens", "name"),
    [
        ([probe(64, "a", math.nan)], 100, "probability"),
        ([probe(64, "a", 1.5)], 100, "probability"),
        ([probe(91, "a"), probe(64, "a")], 100, "thinking_tokens"),
        ([probe(91, "a")], 80, "thinking_tokens"),
        ([], 10**12, "thinking_tokens"),
    ],
)
def test_a_course_that_cannot_be_is_refused(probes: list[Probe], tokens: int, name: str) -> None:
    statistics = ExitStatistics()
    with pytest.raises(ValueError, match=name):
        statistics.add(ProbeTrajectory(probes, tokens, "a", False, True, 20.0, {}))
    assert flat(statistics) == flat(ExitStatistics())


def test_stored_sums_that_cannot_be_are_refused() -> None:
    stored = seen(5).as_dict()
    stored["counts"]["ended"][3] = math.nan
    with pytest.raises(ValueError, match="ended must be finite"):
        ExitStatistics.from_dict(stored)
    with pytest.raises(ValueError, match="version"):
        ExitStatistics.from_dict({"version": 0})
    bad = seen(5).as_dict() | {"onward": [[0, START, 1.0]]}
    with pytest.raises(ValueError, match="onward"):
        ExitStatistics.from_dict(bad)
