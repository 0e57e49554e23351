"""What chains show of every plan is counted once, and gives the plan that is best at each price."""

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from benchmarks.joint import is_right, known_population
from policies.curves.class_statistics import ClassStatistics
from policies.curves.exit_statistics import POSITIONS
from policies.curves.label import learn
from policies.curves.observation import Observation
from policies.curves.plans.counts import Course, PlanCounts, courses_of
from policies.curves.plans.curve import fit_plans
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Confidence, Probe
from policies.tally import Vote, VoteStanding

PRICES = (1e-6, 1e-4, 1e-2)
TRIED = ChainSetting(tried=True)


def course(number: int, early: str, late: str, *extended: str) -> Course:
    """A chain of 400 tokens, tried at every place before, and its ends after extensions."""
    tried = [Probe(number, at, early, 0.5, "", 4) for at in POSITIONS if at < 400]
    tokens = 400 + 20 + 4 * len(tried)
    ends = [Vote(number, late, tokens, 400)]
    for times, answer in enumerate(extended, start=1):
        ends.append(
            Vote(number, answer, tokens + 50 * times, 400 + 40 * times, times, "extensions")
        )
    return Course(ends, tried, TRIED)


def observed(
    queries: int, *, early: float, late: float, extended: Sequence[float] = (), seed: int = 0
) -> PlanCounts:
    """Two chains each: right with these chances where they are cut, in the end, and after it."""
    rng, counts = Random(seed), PlanCounts()

    def said(chance: float) -> str:
        return "0" if rng.random() < chance else rng.choice("123456789")

    for _ in range(queries):
        pair = [course(number, said(early), said(late)) for number in range(2)]
        pair[0] = course(0, said(early), pair[0].ends[0].answer or "", *map(said, extended))
        counts.observe(pair, is_right, is_exploration=True)
    return counts


def test_what_thinking_brings_is_weighed_against_its_tokens() -> None:
    curve = fit_plans(observed(300, early=0.3, late=0.8), prices=PRICES)
    assert curve is not None
    cheap, _, dear = (table.plans[0] for table in curve.tables)
    assert dear.forecast.tokens < 120 < 400 < cheap.forecast.tokens
    assert dear.setting.kind == "exit"
    assert curve.to_end.accuracy == pytest.approx(0.8, abs=0.06)
    assert curve.to_end.tokens == pytest.approx(420)  # trials are not counted


def test_extensions_are_taken_where_they_put_answers_right() -> None:
    better = observed(300, early=0.2, late=0.3, extended=(0.5, 0.8))
    curve = fit_plans(better, prices=[1e-4])
    assert curve is not None
    best = curve.tables[0].plans[0]
    assert best.setting.kind in ("forced", "extend")
    assert best.once == pytest.approx(0.8, abs=0.1)
    worse = fit_plans(observed(300, early=0.2, late=0.8, extended=(0.5, 0.3)), prices=[1e-4])
    assert worse is not None
    assert worse.tables[0].plans[0].setting.kind not in ("forced", "extend")


def test_extensions_that_are_forced_in_one_go_answer_once() -> None:
    curve = fit_plans(observed(300, early=0.2, late=0.3, extended=(0.9,)), prices=[1e-3])
    assert curve is not None
    by_kind = {plan.setting.kind: plan for plan in curve.tables[0].plans}
    forced = by_kind["forced"]
    assert forced.setting.forced == 1
    # 400 tokens, 40 of the extension, one answer of 20; the second answer had 10 of its own.
    once = forced.forecast.tokens / curve.to_end.tokens
    assert once == pytest.approx((420 + 50 - 20) / 420, rel=0.02)


def test_more_votes_are_drawn_where_tokens_cost_next_to_nothing() -> None:
    curve = fit_plans(observed(300, early=0.3, late=0.6), prices=PRICES)
    assert curve is not None
    plans = [table.plans[0] for table in curve.tables]
    assert plans[0].votes.first_round > 1
    assert plans[2].votes.first_round == 1
    plan = plans[0]
    assert plan.forecast.accuracy > 0.7
    split, agreed = plan.next_vote(VoteStanding(1, 1, 0)), plan.next_vote(VoteStanding(3, 0, 0))
    assert split is not None and agreed is not None
    assert split.accuracy > 0.01
    assert agreed.accuracy == pytest.approx(0, abs=1e-6)  # one vote cannot change it
    assert (plan.chance(VoteStanding(3, 0, 0)) or 0) > (plan.chance(VoteStanding(1, 1, 0)) or 1)
    assert plan.next_vote(VoteStanding(30, 0, 0)) is None


@pytest.mark.parametrize("late", [0.0, 1.0])
@pytest.mark.parametrize("early", [0.0, 1.0])
def test_chances_are_chances_where_all_answers_are_right_or_none_is(
    early: float, late: float
) -> None:
    counts = observed(60, early=early, late=late, extended=(1 - late, late))
    counts.merge(observed(3, early=1 - early, late=1 - late))
    for queries in (counts, observed(3, early=early, late=late)):
        curve = fit_plans(queries, counts, prices=PRICES, round_tokens=200.0)
        assert curve is not None
        for plan in (plan for table in curve.tables for plan in table.plans):
            assert 0 < plan.forecast.accuracy < 1
            assert plan.forecast.tokens > 0
            assert 0 <= (plan.chance(VoteStanding(2, 1, 0)) or 0) <= 1


def test_counts_add_up_and_survive_storage() -> None:
    one, other = observed(20, early=0.3, late=0.8), observed(30, early=0.5, late=0.6, seed=1)
    one.merge(other)
    assert (one.queries, one.explored) == (50, 50)
    again = PlanCounts.from_dict(json.loads(json.dumps(one.as_dict())))
    assert again == one
    again.scale(0.5)
    assert again.exits.queries == one.exits.queries / 2 == 50
    assert again.votes["length"].queries == one.votes["length"].queries / 2 == 25
    assert again.answers == [25, 25 * 20]


def test_chains_of_one_query_are_told_apart_and_kept_in_order() -> None:
    votes = [Vote(1, "b", 60, 50), Vote(0, "a", 60, 50), Vote(0, "c", 110, 100, 1, "extensions")]
    tried = [Probe(0, 64, "a", 0.5), Probe(1, 64, "b", 0.5)]
    first, second = courses_of(votes, tried, TRIED)
    assert [end.answer for end in first.ends] == ["a", "c"]
    assert [probe.answer for probe in second.probes] == ["b"]


def test_a_chain_that_ends_before_the_first_trial_counts_as_well() -> None:
    short = Course([Vote(0, "0", 30, 20)], (), TRIED)
    untried = short._replace(setting=ChainSetting())
    counts = PlanCounts()
    counts.observe([short], is_right, is_exploration=False)
    counts.observe([untried], is_right, is_exploration=False)
    assert counts.exits.queries == 1  # where nobody asked, long chains would be missed
    assert counts.votes["length"].queries == 2


def test_of_a_chain_that_was_concluded_nothing_is_known_beyond_that() -> None:
    end = Vote(0, "1", 84, 64, stop_cause="early_exit")
    ended = Course([end], [Probe(0, 64, "1", 0.99, "", 4)], ChainSetting("exit", 1e-4, True))
    counts = PlanCounts()
    counts.observe([ended], is_right, is_exploration=False)
    assert counts.exits.queries == 1 and counts.exits.whole == 0
    assert sum(counts.exits.counts.ended) == 0
    assert counts.ends.queries == 0


@pytest.mark.parametrize("answer", ["a", "b"])
def test_a_label_that_comes_later_teaches_what_it_would_have_taught_at_once(answer: str) -> None:
    plan = Plan("whole", Budget(1000), setting=TRIED, is_exploration=True)
    votes = (Vote(0, "a", 120, 100), Vote(1, "b", 90, 70), Vote(2, "a", 110, 90))
    tried = tuple(Probe(chain, 64, "b", 0.95, "", 4) for chain in range(3))
    blank = Observation("c", votes, plan.budget, None, plan, probes=tried)
    at_once, later = ClassStatistics(), ClassStatistics()
    at_once.observe(replace(blank, right={said: said == answer for said in "ab"}))
    later.observe(blank)
    learn(later, blank, answer=answer, reward=1.0)
    assert at_once.plans.votes["length"].labelled == 1
    assert later.plans == at_once.plans


def test_nothing_is_known_before_the_first_chain() -> None:
    assert fit_plans(PlanCounts(), prices=PRICES) is None


def test_other_classes_tell_what_to_expect_of_a_new_one() -> None:
    parent = observed(200, early=0.3, late=0.8)
    curve = fit_plans(PlanCounts(), parent, prices=PRICES)
    assert curve is not None and curve.queries == 0
    assert curve.to_end.accuracy == pytest.approx(0.8, abs=0.15)


@pytest.mark.slow
def test_a_known_population_gives_each_class_its_own_plan() -> None:
    plans = []
    for counts in known_population(60):
        curve = fit_plans(counts, prices=[3e-5])
        assert curve is not None
        plans.append(curve.tables[0].plans[0])
    hopeless = plans.pop(3)
    assert hopeless.forecast.tokens < 2000
    assert hopeless.forecast.accuracy < min(plan.forecast.accuracy for plan in plans)


def test_a_price_as_dear_as_may_be_has_plans() -> None:
    curve = fit_plans(observed(20, early=0.3, late=0.6), prices=[0.9, 7.2])
    assert curve is not None
    assert all(table.plans for table in curve.tables)


def test_signals_are_kept_in_one_order_so_that_the_same_queries_give_the_same_file() -> None:
    counts = PlanCounts()
    sure = Confidence(mean=0.5, lowest=0.5, tail=0.5, answer=0.5)
    (course,) = courses_of((Vote(0, "a", 54, 50, confidence=sure),), (), ChainSetting())
    counts.observe([course], lambda _: None, is_exploration=False, difficulty=0.5)
    assert list(counts.votes) == ["length", "answer", "tail", "difficulty"]
