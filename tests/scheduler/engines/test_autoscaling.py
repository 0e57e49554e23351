"""How many engines: by the tokens that are owed, without going up and down all the time."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.engines.autoscaling import TOKENS, TokenBacklog, engines_wanted

owed = st.floats(0, 1e9)
goals = st.floats(1, 1e6)
numbers = st.integers(1, 1000)


@given(owed, goals, numbers)
def test_none_owes_more_than_its_goal(tokens: float, goal: float, running: int) -> None:
    wanted = engines_wanted(tokens, tokens_per_replica=goal, running=running)
    assert wanted >= math.ceil(tokens / goal)
    assert wanted <= max(running, math.ceil(tokens / goal))


@given(owed, owed, goals, numbers)
def test_more_work_never_wants_fewer(one: float, other: float, goal: float, running: int) -> None:
    few, many = sorted((one, other))
    less = engines_wanted(few, tokens_per_replica=goal, running=running)
    assert less <= engines_wanted(many, tokens_per_replica=goal, running=running)


@given(owed, goals, numbers)
def test_the_answer_stays_the_same_once_it_is_followed(
    tokens: float, goal: float, running: int
) -> None:
    wanted = engines_wanted(tokens, tokens_per_replica=goal, running=running)
    assert engines_wanted(tokens, tokens_per_replica=goal, running=wanted) == wanted


def test_an_engine_is_let_go_only_when_the_others_stay_calm() -> None:
    assert engines_wanted(95, tokens_per_replica=50, running=3) == 3
    assert engines_wanted(69, tokens_per_replica=50, running=3) == 2
    assert engines_wanted(0, tokens_per_replica=50, running=3) == 0


@dataclass
class ClientRecord:
    """What Serve tells a policy."""

    current_num_replicas: int = 2
    target_num_replicas: int = 2
    aggregated_metrics: dict[str, dict[str, float]] | None = field(default_factory=dict)


@pytest.mark.parametrize("nothing", [None, {}, {TOKENS: {}}, {"other": {"a": 9e9}}])
def test_without_reports_nothing_changes(
    nothing: dict[str, dict[str, float]] | None,
) -> None:
    assert TokenBacklog(100)(ClientRecord(aggregated_metrics=nothing)) == (2, {})


def test_the_tokens_of_all_replicas_are_added() -> None:
    told = ClientRecord(aggregated_metrics={TOKENS: {"a": 150.0, "b": 240.0}})
    assert TokenBacklog(100)(told) == (4, {})


def test_engines_that_are_on_their_way_count() -> None:
    told = ClientRecord(
        current_num_replicas=2, target_num_replicas=4, aggregated_metrics={TOKENS: {"a": 350.0}}
    )
    assert TokenBacklog(100)(told) == (4, {})
