"""Counts of settings add up, survive storage, and give the plan that is best at each price."""

import json
from dataclasses import replace
from random import Random

import pytest

from benchmarks.joint import is_right, known_population
from policies.curves.class_statistics import ClassStatistics
from policies.curves.joint.counts import JointCounts
from policies.curves.joint.courses import Course
from policies.curves.joint.curve import fit_joint
from policies.curves.joint.settings import CAPS, WHOLE, ChainSetting
from policies.curves.label import learn
from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from policies.signals import Probe
from policies.tally import Vote, VoteStanding

PRICES = (1e-6, 1e-4, 1e-2)


def course(number: int, early: str, late: str) -> Course:
    """A chain of 100 tokens, tried after 32, 45, 64 and 91."""
    tried = [Probe(number, cap, early, 0.5, "", 4) for cap in CAPS[:4]]
    return Course([Vote(number, late, 120, 100)], tried, ChainSetting(WHOLE))


def observed(queries: int, *, early: float, late: float, seed: int = 0) -> JointCounts:
    """Two chains each: right with these chances where they are cut, and in the end."""
    rng, counts = Random(seed), JointCounts()
    for _ in range(queries):
        pair = [
            course(
                number,
                "0" if rng.random() < early else rng.choice("123456789"),
                "0" if rng.random() < late else rng.choice("123456789"),
            )
            for number in range(2)
        ]
        counts.observe(pair, is_right, is_exploration=True)
    return counts


def test_what_thinking_brings_is_weighed_against_its_tokens() -> None:
    curve = fit_joint(observed(300, early=0.3, late=0.8), prices=PRICES)
    assert curve is not None
    cheap, _, dear = (table.plans[0] for table in curve.tables)
    assert cheap.setting.stage >= CAPS.index(128)
    assert dear.forecast.tokens < 50 < 100 < cheap.forecast.tokens
    whole = curve.chains[ChainSetting(WHOLE)]
    assert whole.accuracy == pytest.approx(0.8, abs=0.06)
    assert whole.tokens == pytest.approx(104)


def test_more_votes_are_drawn_where_tokens_cost_next_to_nothing() -> None:
    curve = fit_joint(observed(300, early=0.3, late=0.6), prices=PRICES)
    assert curve is not None
    votes = [table.plans[0].votes for table in curve.tables]
    assert votes[0].first_round > 1
    assert votes[2].first_round == 1
    plan = curve.tables[0].plans[0]
    assert plan.forecast.accuracy > 0.7
    split, agreed = plan.next_vote(VoteStanding(1, 1, 0)), plan.next_vote(VoteStanding(3, 0, 0))
    assert split is not None and agreed is not None
    assert split.accuracy > 0.01
    assert agreed.accuracy == pytest.approx(0, abs=1e-6)  # one vote cannot change it
    assert (plan.chance(VoteStanding(3, 0, 0)) or 0) > (plan.chance(VoteStanding(1, 1, 0)) or 1)
    assert plan.next_vote(VoteStanding(30, 0, 0)) is None


def test_counts_add_up_and_survive_storage() -> None:
    one, other = observed(20, early=0.3, late=0.8), observed(30, early=0.5, late=0.6, seed=1)
    one.merge(other)
    assert (one.queries, one.explored) == (50, 50)
    again = JointCounts.from_dict(json.loads(json.dumps(one.as_dict())))
    assert again == one
    again.scale(0.5)
    whole, half = (each.by_setting[ChainSetting(WHOLE)].sums for each in (one, again))
    assert half == tuple(part / 2 for part in whole)
    assert whole.chains == 100 and whole.tokens == 100 * 104


@pytest.mark.parametrize("answer", ["a", "b"])
def test_a_label_that_comes_later_teaches_what_it_would_have_taught_at_once(answer: str) -> None:
    plan = Plan("joint", Budget(1000), setting=ChainSetting(WHOLE), is_exploration=True)
    votes = (Vote(0, "a", 120, 100), Vote(1, "b", 90, 70), Vote(2, "a", 110, 90))
    tried = tuple(Probe(chain, 32, "b", 0.95, "", 4) for chain in range(3))
    blank = Observation("c", votes, plan.budget, None, plan, probes=tried)
    at_once, later = ClassStatistics(), ClassStatistics()
    at_once.observe(replace(blank, right={said: said == answer for said in "ab"}))
    later.observe(blank)
    learn(later, blank, answer=answer, reward=1.0)
    assert at_once.joint is not None and at_once.joint.by_setting[ChainSetting(WHOLE)].sums.labelled
    assert later.joint == at_once.joint


@pytest.mark.parametrize("wrong", [[99, 0], [0, 99]])
def test_a_setting_that_is_none_is_refused_by_its_number(wrong: list[int]) -> None:
    stored = observed(2, early=0.3, late=0.8).as_dict()
    stored["settings"][0][:2] = wrong
    with pytest.raises(ValueError, match=str(wrong[0] or wrong[1])):
        JointCounts.from_dict(stored)


def test_nothing_is_known_before_the_first_chain() -> None:
    assert fit_joint(JointCounts(), prices=PRICES) is None


def test_other_classes_tell_what_to_expect_of_a_new_one() -> None:
    parent = observed(200, early=0.3, late=0.8)
    curve = fit_joint(JointCounts(), parent, prices=PRICES)
    assert curve is not None and curve.queries == 0
    assert curve.chains[ChainSetting(WHOLE)].accuracy == pytest.approx(0.8, abs=0.15)


@pytest.mark.slow
def test_a_known_population_gives_each_class_its_own_plan() -> None:
    plans = []
    for counts in known_population(60):
        curve = fit_joint(counts, prices=[3e-5])
        assert curve is not None
        plans.append(curve.tables[0].plans[0])
    hopeless = plans.pop(3)
    assert hopeless.forecast.tokens < 500
    assert all(plan.forecast.tokens > 1000 for plan in plans)
    assert hopeless.forecast.accuracy < min(plan.forecast.accuracy for plan in plans)
