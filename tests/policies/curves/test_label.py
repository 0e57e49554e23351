"""A label that comes later adds what it tells, and nothing else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.class_statistics import ClassStatistics
from policies.curves.label import learn
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Probe
from policies.tally import Vote


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.floats(0, 1),
)
def test_a_label_that_comes_later_counts_no_query_again(
    said: list[str], is_greedy: bool, reward: float, faded: float
) -> None:
    votes = [
        Vote(0 if is_greedy else at, answer, 40 + at, 30 + at, at if is_greedy else 0)
        for at, answer in enumerate(said)
    ]
    observation = Observation("c", tuple(votes), Budget(100), 0.0 if is_greedy else None)
    statistics = ClassStatistics()
    statistics.observe(observation)
    statistics.scale(faded)
    before, counted = statistics.queries, statistics.plans.votes["length"].queries
    learn(statistics, observation, answer=said[-1], reward=reward)
    assert (statistics.queries, statistics.referenced) == (before, 0.0)
    votes_of_class = statistics.plans.votes["length"]
    assert votes_of_class.queries == pytest.approx(counted)
    assert votes_of_class.labelled <= counted + 1e-12
    stored = ClassStatistics.from_dict(statistics.as_dict())
    assert stored.as_dict() == statistics.as_dict()
    assert all(count >= 0 for row in statistics.plans.ends.rows().values() for count in row)
    assert all(count >= 0 for row in statistics.lengths.rows().values() for count in row)


@pytest.mark.parametrize("reward", [-0.1, 1.1, math.nan, math.inf])
def test_a_reward_that_is_none_is_refused(reward: float) -> None:
    observation = Observation("c", (Vote(0, "a", 40, 30),), Budget(100), 0.0)
    with pytest.raises(ValueError, match="reward"):
        learn(ClassStatistics(), observation, answer="a", reward=reward)


def test_a_label_of_a_chain_that_was_tried_on_its_way_reaches_its_exits() -> None:
    probes = (Probe(0, 64, "a", 0.5, "", 10), Probe(0, 91, "b", 0.9, "", 10))
    setting = ChainSetting("extend", tried=True)
    plan = Plan("extend", Budget(400), 0.0, is_exploration=True, setting=setting)
    history = (Vote(0, "b", 130, 120),)
    observation = Observation("c", history, Budget(400), 0.0, plan, {}, probes)
    then, later = ClassStatistics(), ClassStatistics()
    then.observe(Observation("c", history, Budget(400), 0.0, plan, {"a": False, "b": True}, probes))
    later.observe(observation)
    learn(later, observation, answer="b", reward=1.0)
    assert (then.referenced, later.referenced) == (1.0, 0.0)
    assert later.as_dict() == then.as_dict() | {"referenced": 0.0}
