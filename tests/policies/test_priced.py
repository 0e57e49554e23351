"""`priced` explores a cold class, then spends where its curve says that tokens buy accuracy."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from policies.base import Draw, Extend, Limits, Message, Query, Situation, Stop
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from policies.priced import Priced
from policies.tally import Tally, Vote

QUERY = Query("q", (Message("user", "?"),), "class")
BUDGET = Budget(1000)
RIGHT = {"a": True} | {letter: False for letter in "bcdefgh"}


def chain(answers: str, *, step: int = 50) -> tuple[Vote, ...]:
    return tuple(
        Vote(0, given, step * (extensions + 1), step * (extensions + 1), extensions)
        for extensions, given in enumerate(answers)
    )


def votes(answers: str, *, tokens: int = 50) -> tuple[Vote, ...]:
    return tuple(Vote(number, given, tokens, tokens) for number, given in enumerate(answers))


def learned(
    chains: list[str],
    vote_sets: list[str],
    *,
    price: float = 3e-4,
    step: int = 50,
    budget: Budget = BUDGET,
) -> ClassCurve:
    statistics = ClassStatistics()
    for answers in chains * 4:
        plan = Plan("extensions", budget, 0.0, is_exploration=True)
        given = chain(answers, step=step)
        statistics.observe(Observation("class", given, budget, 0.0, plan, RIGHT))
    for answers in vote_sets * 4:
        plan = Plan("votes", budget, is_exploration=True)
        statistics.observe(
            Observation("class", votes(answers, tokens=step), budget, None, plan, RIGHT)
        )
    return fit(statistics, price=price)


EXTENSIONS_PAY = learned(["bcaaaa", "bdaaaa", "caaaaa"], ["bcdebcfg", "cdeabfgh"])
VOTES_PAY = learned(["bbbbbb", "cccccc", "aaaaaa"], ["aabacaad", "acaabaae", "baaacaad"])
HOPELESS = learned(["bcdefg"], ["bcdefghb"], step=900, budget=Budget(8000))


def start(curve: ClassCurve | None = None, *, limits: Limits | None = None) -> Situation:
    query = QUERY if limits is None else replace(QUERY, limits=limits)
    return Situation(query, Tally(), 8000, curve)


def first(policy: Priced, situation: Situation, seed: int = 0) -> Draw:
    decision = policy.decide(situation, Random(seed))
    assert isinstance(decision, Draw) and decision.plan is not None
    return decision


def plan_of(policy: Priced, situation: Situation, seed: int = 0) -> Plan:
    plan = first(policy, situation, seed).plan
    assert plan is not None
    return plan


def test_a_cold_class_gets_exploration_runs_of_both_kinds() -> None:
    plans = [plan_of(Priced(), start(), seed) for seed in range(200)]
    assert all(plan.is_exploration for plan in plans)
    shares = Counter(plan.name for plan in plans)
    assert set(shares) == {"extensions", "votes"}
    assert plans[0].propensity == pytest.approx(shares["extensions"] / 200, abs=0.1)


def test_exploration_runs_under_way_for_others_need_not_be_repeated() -> None:
    for exploration_runs, expected in (
        ({"extensions": 3}, {("votes", True)}),
        ({"votes": 5}, {("extensions", True)}),
        ({"extensions": 3, "votes": 3}, {("extensions", False)}),
    ):
        cold = replace(start(), exploration_runs=exploration_runs)
        plans = [plan_of(Priced(), cold, seed) for seed in range(20)]
        assert {(plan.name, plan.is_exploration) for plan in plans} == expected


def test_a_query_that_may_teach_nothing_gets_the_best_plan_at_once() -> None:
    for situation, expected in (
        (start(), "extensions"),
        (start(EXTENSIONS_PAY), "extensions"),
        (start(VOTES_PAY), "votes"),
    ):
        silent = replace(situation, learns=False)
        plans = {plan_of(Priced(exploration=1.0), silent, seed) for seed in range(50)}
        assert {(plan.name, plan.is_exploration, plan.propensity) for plan in plans} == {
            (expected, False, 1.0)
        }


def test_a_exploration_chain_is_extended_to_the_end_although_it_is_settled() -> None:
    policy = Priced(max_extensions=3)
    plan = Plan("extensions", BUDGET, 0.0, is_exploration=True)
    for answers in ("a", "aa", "aaa"):
        situation = replace(start(EXTENSIONS_PAY), tally=Tally(chain(answers)), plan=plan)
        decision = policy.decide(situation, Random(0))
        assert isinstance(decision, Extend) and decision.plan == plan
    situation = replace(start(EXTENSIONS_PAY), tally=Tally(chain("aaaa")), plan=plan)
    assert policy.decide(situation, Random(0)) == Stop("plan done")


def test_without_exploration_a_cold_chain_goes_on_until_two_answers_agree() -> None:
    policy = Priced(exploration=0.0)
    draw = first(policy, start())
    assert draw.samples == 1 and draw.temperature == 0.0
    changing = replace(start(), tally=Tally(chain("ab")), plan=draw.plan)
    assert isinstance(policy.decide(changing, Random(0)), Extend)
    settled = replace(start(), tally=Tally(chain("abb")), plan=draw.plan)
    assert policy.decide(settled, Random(0)) == Stop("settled")


def test_waits_where_waits_pay_and_votes_where_votes_pay() -> None:
    policy = Priced(exploration=0.0)
    extensions, vote = first(policy, start(EXTENSIONS_PAY)), first(policy, start(VOTES_PAY))
    assert (extensions.samples, extensions.temperature) == (1, 0.0)
    assert vote.samples > 1 and vote.temperature is None
    assert extensions.plan is not None and extensions.plan.forecast is not None
    assert extensions.plan.forecast.accuracy > 0.7


def test_a_hopeless_class_gets_one_short_pass() -> None:
    draw = first(Priced(exploration=0.0), start(HOPELESS))
    assert draw.plan is not None and draw.plan.name == "cap"
    assert draw.samples == 1 and draw.budget.max_thinking_tokens <= 16
    cut = Vote(0, "b", 20, draw.budget.max_thinking_tokens)
    done = replace(start(HOPELESS), tally=Tally((cut,)), plan=draw.plan)
    assert Priced().decide(done, Random(0)) == Stop("plan done")


def test_the_dearer_a_token_the_fewer_are_planned() -> None:
    policy = Priced(exploration=0.0)
    spent = []
    for price in (5e-5, 3e-4, 2e-3):
        forecast = plan_of(policy, replace(start(EXTENSIONS_PAY), price=price)).forecast
        assert forecast is not None
        spent.append(forecast.tokens)
    assert spent == sorted(spent, reverse=True) and spent[0] > spent[-1]


def test_a_query_worth_more_is_a_query_at_a_lower_price() -> None:
    policy = Priced(exploration=0.0)
    worthy = plan_of(policy, start(EXTENSIONS_PAY, limits=Limits(value=8.0)))
    cheap = plan_of(policy, replace(start(EXTENSIONS_PAY), price=3e-4 / 8))
    assert worthy == cheap


def test_propensities_of_a_warm_class_are_those_with_which_plans_are_chosen() -> None:
    policy = Priced(exploration=0.08)
    rng = Random(1)
    chosen = Counter[tuple[str, bool, float]]()
    for _ in range(20000):
        decision = policy.decide(start(VOTES_PAY), rng)
        assert isinstance(decision, Draw) and decision.plan is not None
        chosen[decision.plan.name, decision.plan.is_exploration, decision.plan.propensity] += 1
    assert sum(propensity for _, _, propensity in chosen) == pytest.approx(1)
    for (_, _, propensity), times in chosen.items():
        assert times / 20000 == pytest.approx(propensity, abs=0.01)


def test_the_total_limit_is_never_planned_past() -> None:
    for limit in (1, 5, 40, 130, 300, 1000):
        for curve in (None, EXTENSIONS_PAY, VOTES_PAY):
            for seed in range(10):
                draw = first(Priced(), start(curve, limits=Limits(max_total_tokens=limit)), seed)
                assert draw.samples * draw.budget.most_tokens <= limit


def test_a_chain_is_not_extended_where_a_wait_has_no_room() -> None:
    plan = Plan("extensions", BUDGET, 0.0, is_exploration=True)
    tight = start(EXTENSIONS_PAY, limits=Limits(max_total_tokens=260))
    ended = replace(tight, tally=Tally(chain("ab")), plan=plan, tokens_spent=100)
    assert Priced().decide(ended, Random(0)) == Stop("budget")
    full = replace(start(), tally=Tally(chain("ab", step=480)), plan=plan)
    assert Priced().decide(full, Random(0)) == Stop("budget")


def test_a_target_accuracy_takes_the_cheapest_plan_that_surely_reaches_it() -> None:
    policy = Priced(exploration=0.0, price=5e-3)
    arms = [arm for table in EXTENSIONS_PAY.plan_tables for arm in table.arms]
    for target in (0.05, 0.5, 0.7):
        surely = [arm for arm in arms if arm.forecast.accuracy - arm.error >= target]
        plan = plan_of(policy, start(EXTENSIONS_PAY, limits=Limits(target_accuracy=target)))
        assert plan.forecast == min(surely, key=lambda arm: arm.forecast.tokens).forecast
    lucky = min(arms, key=lambda arm: arm.forecast.tokens).forecast
    plan = plan_of(policy, start(EXTENSIONS_PAY, limits=Limits(target_accuracy=lucky.accuracy)))
    assert plan.forecast and plan.forecast.accuracy > lucky.accuracy


def test_voting_stops_when_the_votes_agree() -> None:
    draw = first(Priced(exploration=0.0), start(VOTES_PAY))
    agreed = replace(start(VOTES_PAY), tally=Tally(votes("aaaaaaaa")), plan=draw.plan)
    assert Priced().decide(agreed, Random(0)) == Stop("settled")


def test_no_more_than_the_most_votes_are_drawn() -> None:
    plan = Plan("votes", BUDGET)
    situation = replace(start(), tally=Tally(votes("abcd")), plan=plan)
    assert Priced(max_samples=4).decide(situation, Random(0)) == Stop("plan done")
    decision = Priced(max_samples=5).decide(situation, Random(0))
    assert isinstance(decision, Draw) and decision.samples == 1


def test_a_lost_chain_is_replaced_and_three_are_given_up() -> None:
    plan = Plan("extensions", BUDGET, 0.0)
    lost = Vote(0, None, 10, 10, stop_cause="lost")
    once = replace(start(), tally=Tally((lost,)), plan=plan)
    decision = Priced().decide(once, Random(0))
    assert isinstance(decision, Draw) and decision.temperature is None
    thrice = Tally(tuple(replace(lost, chain=number) for number in range(3)))
    assert Priced().decide(replace(once, tally=thrice), Random(0)) == Stop("no answer")


def test_votes_only_never_asks_for_a_greedy_chain() -> None:
    policy = Priced(votes_only=True)
    for curve in (None, EXTENSIONS_PAY, VOTES_PAY, HOPELESS):
        for seed in range(30):
            draw = first(policy, start(curve), seed)
            assert draw.temperature is None
            assert draw.plan is not None and draw.plan.name == "votes"
            done = replace(start(curve), tally=Tally(votes("ab")), plan=draw.plan)
            assert not isinstance(policy.decide(done, Random(seed)), Extend)


def test_an_exploration_run_shows_its_votes_and_goes_on_where_more_of_them_pay() -> None:
    policy = Priced(1e-5)
    for curve, given, expected in (
        (None, "aaa", Draw),
        (VOTES_PAY, "aaa", Draw),
        (VOTES_PAY, "aaaaaa", Stop),
        (VOTES_PAY, "abcabc", Draw),
    ):
        plan = Plan("votes", BUDGET, is_exploration=True, price=1e-5)
        situation = replace(start(curve), price=1e-5, tally=Tally(votes(given)), plan=plan)
        assert isinstance(policy.decide(situation, Random(0)), expected), (curve, given)


def test_where_votes_cannot_pay_nothing_is_explored() -> None:
    policy = Priced(votes_only=True, exploration=1.0)
    cheap = [plan_of(policy, replace(start(VOTES_PAY), price=1e-5), seed) for seed in range(100)]
    dear = [plan_of(policy, replace(start(VOTES_PAY), price=0.02), seed) for seed in range(100)]
    assert any(plan.is_exploration for plan in cheap) and not any(
        plan.is_exploration for plan in dear
    )


def test_a_class_whose_votes_stop_at_the_first_sometimes_tries_more_of_them() -> None:
    dear = learned(["bbbbbb", "cccccc", "dddddd"], ["aabacaad", "acaabaae", "baaacaad"], price=5e-3)
    situation = replace(start(dear), price=5e-3)
    plans = [plan_of(Priced(), situation, seed) for seed in range(300)]
    usual = Counter(
        plan.price for plan in plans if plan.name == "votes" and not plan.is_exploration
    )
    assert set(usual) == {5e-3, 5e-3 / 4} and usual[5e-3 / 4] < 150
    ends = {}
    for plan in plans:
        if plan.price in usual and not plan.is_exploration:
            voted = replace(situation, tally=Tally(votes("a")), plan=plan)
            ends[plan.price] = Priced().decide(voted, Random(0))
    assert isinstance(ends[5e-3], Stop) and isinstance(ends[5e-3 / 4], Draw)
    aims = replace(situation, query=replace(QUERY, limits=Limits(target_accuracy=0.1)))
    aiming = [plan_of(Priced(), aims, seed) for seed in range(300)]
    assert len({(plan.name, plan.price) for plan in aiming}) == 1


def test_curiosity_falls_with_what_was_seen() -> None:
    policy = Priced(votes_only=True, exploration=1.0)
    few = learned([], ["aabacaad", "acaabaae", "baaacaad"])
    many = learned([], ["aabacaad", "acaabaae", "baaacaad"] * 50)
    shares = [
        sum(
            plan_of(policy, replace(start(curve), price=1e-5), seed).is_exploration
            for seed in range(300)
        )
        for curve in (few, many)
    ]
    assert shares[0] > 2 * shares[1]


def test_a_long_first_chain_is_asked_again_and_a_short_one_is_believed() -> None:
    statistics = ClassStatistics()
    for answers, tokens in [("aaaa", 40), ("abaa", 80), ("baaa", 80)] * 40:
        plan = Plan("votes", BUDGET, is_exploration=True)
        given = votes(answers, tokens=tokens)
        statistics.observe(Observation("class", given, BUDGET, None, plan, RIGHT))
    curve = fit(statistics, price=1e-3)
    policy = Priced(1e-3, votes_only=True, exploration=0.0)
    plan = plan_of(policy, start(curve))
    for tokens, expected in ((40, Stop("settled")), (80, None)):
        vote = votes("a", tokens=tokens)
        decision = policy.decide(replace(start(curve), tally=Tally(vote), plan=plan), Random(0))
        assert decision == expected or (expected is None and isinstance(decision, Draw))
