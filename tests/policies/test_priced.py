"""One plan of caps, exits, extensions and votes, carried out step by step."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from benchmarks.joint import by_learning, played, stream
from benchmarks.joint_replay import KnownCurve, solve
from benchmarks.populations.caps_and_votes import COSTS, question
from policies import build
from policies.base import Conclude, Draw, Extend, Limits, Message, Query, Situation, Stop
from policies.curves.exit_curve import ExitRule, row_of
from policies.curves.exit_statistics import POSITIONS, STATES
from policies.curves.extension_counts import AnswerState, ExtensionCounts
from policies.curves.extension_curve import fit_extensions
from policies.curves.extension_rule import ExtensionRule
from policies.curves.plans.curve import PlanCurve, fit_plans
from policies.curves.plans.settings import ChainSetting
from policies.curves.plans.table import PlanOption, PlanTable
from policies.exploration import COLD_RUNS, EXPLORATION_CHAINS, RATE
from policies.plan import Forecast, Plan
from policies.priced import Priced
from policies.signals import Probe
from policies.tally import Tally, Vote
from tests.policies.curves.plans.test_plan_curve import observed

PRICE = 1e-4


def curve_of(setting: ChainSetting, *, late: float = 0.6, price: float = PRICE) -> KnownCurve:
    """A class whose best plan has this setting."""
    curve = fit_plans(observed(200, early=0.3, late=late), prices=[price])
    assert curve is not None
    plan = replace(curve.tables[0].plans[0], setting=setting)
    until_agreed = {AnswerState(extensions, 1): 1.0 for extensions in range(3)}
    rule = ExtensionRule(price, until_agreed, Forecast(0.9, 200))
    tables = (PlanTable(price, (plan,)),)
    extended = ExtensionCounts()
    extended.observe([Vote(0, "a", 60, 50), Vote(0, "a", 110, 100, 1, "extensions")], [None, None])
    known = fit_extensions(extended)
    return KnownCurve(replace(curve, extension=known, extension_rules=(rule,), tables=tables))


def situation(curve: KnownCurve | None, *votes: Vote, **fields: Any) -> Situation:
    query = fields.pop("query", Query("q", (Message("user", "q"),)))
    fields = {"price": PRICE, "max_thinking_tokens": 100_000} | fields
    return Situation(query=query, tally=Tally(votes), curve=curve, **fields)  # type: ignore[arg-type]


def begun(curve: KnownCurve | None, **fields: Any) -> Draw:
    decision = Priced(exploration=0.0).decide(situation(curve, **fields), Random(0))
    assert isinstance(decision, Draw)
    return decision


def plan_of(decision: Draw) -> Plan:
    assert decision.plan is not None
    return decision.plan


def test_no_chain_is_greedy_unless_the_thinking_format_means_it() -> None:
    for curve in (None, curve_of(ChainSetting("exit", PRICE)), curve_of(ChainSetting("forced", 1))):
        for exploration in (0.0, 1.0):
            for seed in range(8):
                policy, rng = Priced(exploration=exploration), Random(seed)
                decision = policy.decide(situation(curve, greedy=False), rng)
                assert isinstance(decision, Draw)
                assert decision.temperature is None
                meant = policy.decide(situation(curve), Random(seed))
                assert isinstance(meant, Draw)
                assert meant.temperature == (0.0 if meant.samples == 1 else None)


def test_a_cold_class_is_explored_with_several_chains_that_are_tried() -> None:
    decisions = [Priced().decide(situation(None), Random(seed)) for seed in range(40)]
    samples = set()
    for decision in decisions:
        assert isinstance(decision, Draw)
        assert decision.plan is not None and decision.plan.is_exploration
        assert decision.probing is not None
        assert decision.probing.at == POSITIONS[: len(decision.probing.at)]
        samples.add(decision.samples)
    assert samples == {1, EXPLORATION_CHAINS}


def test_where_nothing_may_be_learned_nothing_is_tried() -> None:
    decision = Priced().decide(situation(None, learns=False), Random(0))
    assert isinstance(decision, Draw)
    assert (decision.samples, decision.probing) == (1, None)


def test_a_query_that_brings_its_answer_is_tried_whatever_its_plan() -> None:
    curve = curve_of(ChainSetting())
    assert begun(curve).probing is None
    checked = begun(curve, query=Query("q", (Message("user", "q"),), reference="0"))
    assert checked.probing is not None and checked.probing.at == POSITIONS


def test_a_chain_that_is_forced_on_shows_its_ends_where_the_query_brings_its_answer() -> None:
    reference = Query("q", (Message("user", "q"),), reference="0")
    curve = curve_of(ChainSetting("forced", 2))
    shown = begun(curve, query=reference)
    plan = plan_of(shown)
    assert (shown.budget.extensions, shown.final) == (0, False)
    assert (str(plan.setting), plan.setting.tried) == ("2 extensions", True)  # type: ignore[union-attr]

    def then(*votes: Vote) -> object:
        return Priced().decide(situation(curve, *votes, plan=plan, query=reference), Random(0))

    ends = [Vote(0, "a", 60, 50)]
    for number in (1, 2):
        assert isinstance(decision := then(*ends), Extend) and decision.chain == 0
        tokens = 60 + 50 * number
        ends.append(Vote(0, "a", tokens, tokens - 10, number, "extensions"))
    assert not isinstance(then(*ends), Extend)


def test_without_extensions_no_plan_has_any() -> None:
    for setting in (ChainSetting("forced", 1), ChainSetting("extend", PRICE)):
        curve = curve_of(setting)
        decision = Priced(exploration=0.0, max_extensions=0).decide(situation(curve), Random(0))
        assert isinstance(decision, Draw) and plan_of(decision).setting == ChainSetting()


def test_an_answer_is_promised_only_where_no_signal_draws_more_votes() -> None:
    known = curve_of(ChainSetting())
    assert known.plans is not None
    plan = known.plans.tables[0].plans[0]
    for more in (0, 1):
        rounds = np.zeros((len(plan.votes.rounds), 2), dtype=np.int8)
        rounds[0, 1] = more  # of difficult questions
        votes = replace(plan.votes, rounds=rounds, columns={8: 1})
        tables = (PlanTable(PRICE, (replace(plan, votes=votes),)),)
        curve = KnownCurve(replace(known.plans, signal="difficulty", tables=tables))
        hard = Query("q", (Message("user", "q"),), difficulty=1.0)
        decision = begun(curve, query=hard)
        assert (decision.samples, decision.final) == (1, not more)


def test_extensions_are_forced_in_one_go() -> None:
    assert begun(curve_of(ChainSetting("forced", 2))).budget.extensions == 2


def test_without_any_thinking_there_is_nothing_to_force_on() -> None:
    policy = Priced(exploration=0.0, max_thinking_tokens=0)
    decision = policy.decide(situation(curve_of(ChainSetting("forced", 2))), Random(0))
    assert isinstance(decision, Draw)
    assert (decision.budget.max_thinking_tokens, decision.budget.extensions) == (0, 0)


def test_a_chain_is_extended_while_its_rule_says_so() -> None:
    curve = curve_of(ChainSetting("extend", 1e-2), late=0.99, price=1e-2)
    plan = plan_of(begun(curve))
    assert plan.budget.extensions == 0
    first, other = Vote(0, "a", 60, 50), Vote(0, "b", 110, 100, 1, "extensions")

    def then(*votes: Vote) -> object:
        return Priced(price=1e-2).decide(situation(curve, *votes, plan=plan, price=0.0), Random(0))

    assert isinstance(decision := then(first), Extend) and decision.extensions == 1
    assert isinstance(then(first, other), Extend)
    assert isinstance(then(first, replace(other, answer="a")), Stop)


def test_of_several_chains_that_are_explored_the_first_alone_is_extended() -> None:
    explored = ChainSetting("extend", 1, tried=True)
    plan = replace(plan_of(begun(None)), setting=explored, is_exploration=True)
    votes = [Vote(number, "a", 60, 50) for number in range(2)]

    def then(*more: Vote) -> object:
        return Priced().decide(situation(None, *votes, *more, plan=plan), Random(0))

    assert isinstance(decision := then(), Extend) and decision.chain == 0
    assert isinstance(then(Vote(0, "b", 110, 100, 1, "extensions")), Stop)


@pytest.mark.parametrize("greedy", [True, False])
def test_a_chain_is_extended_at_the_temperature_that_it_began_with(greedy: bool) -> None:
    policy, seed = Priced(max_samples=1), Random(0)
    first = policy.decide(situation(None, greedy=greedy), seed)
    assert isinstance(first, Draw) and first.temperature == (0.0 if greedy else None)
    vote = Vote(0, "a", 60, 50)
    then = policy.decide(situation(None, vote, plan=first.plan, greedy=greedy), seed)
    assert isinstance(then, Extend) and then.temperature == first.temperature


def test_votes_begin_with_sampled_chains_where_one_alone_is_greedy() -> None:
    counts = observed(200, early=0.6, late=0.6)
    curve = KnownCurve(fit_plans(counts, prices=[1e-6]))
    decision = Priced(exploration=0.0).decide(situation(curve, price=1e-6), Random(0))
    assert isinstance(decision, Draw) and not decision.final
    assert decision.temperature is None and plan_of(decision).temperature is None


def test_an_exploration_run_gets_the_votes_of_the_best_plan() -> None:
    curve = curve_of(ChainSetting(), price=1e-6)
    explored = ChainSetting("extend", 0, tried=True)
    plan = replace(plan_of(begun(curve, price=1e-6)), setting=explored, is_exploration=True)
    votes = [Vote(0, "a", 60, 50), Vote(1, "b", 60, 50)]
    decision = Priced().decide(situation(curve, *votes, plan=plan, price=1e-6), Random(0))
    assert isinstance(decision, Draw) and decision.probing is not None


def test_a_running_chain_is_concluded_when_its_rule_holds() -> None:
    curve = curve_of(ChainSetting("exit", PRICE))
    assert curve.plans is not None and curve.plans.exits is not None
    agreed = row_of([Probe(2, 64, "b", 0.5), Probe(2, 91, "b", 0.5)])
    ends_at = tuple(row == agreed for row in range(STATES))
    rule = ExitRule(PRICE, ends_at, Forecast(0.5, 100))
    exits = replace(curve.plans.exits, rules=(rule,))
    curve = KnownCurve(replace(curve.plans, exits=exits))
    plan = plan_of(begun(curve))
    trials = [Probe(1, 64, "a", 0.5), Probe(2, 64, "b", 0.5), Probe(2, 91, "b", 0.5)]

    def then(probes: Sequence[Probe]) -> object:
        now = situation(curve, plan=plan, pending=2, probes=tuple(probes))
        return Priced().decide(now, Random(0))

    assert then(trials) == Conclude(2)
    assert isinstance(then(trials[:2]), Draw)


def test_votes_are_drawn_while_the_next_one_pays() -> None:
    curve = curve_of(ChainSetting(), price=1e-5)
    plan = plan_of(begun(curve, price=1e-5))

    def then(*answers: str) -> object:
        votes = [Vote(n, answer, 104, 100) for n, answer in enumerate(answers)]
        return Priced().decide(situation(curve, *votes, plan=plan, price=1e-5), Random(0))

    assert isinstance(decision := then("a", "b"), Draw) and decision.samples >= 1
    assert then(*"aaaaaaaa") == Stop("settled")


def test_the_querys_own_limit_holds() -> None:
    query = Query("q", (Message("user", "q"),), limits=Limits(max_total_tokens=300))
    decision = begun(curve_of(ChainSetting(), price=1e-6), query=query, price=1e-6)
    assert decision.samples * decision.budget.most_tokens <= 300


def test_a_target_accuracy_takes_the_cheapest_plan_that_reaches_it() -> None:
    known = fit_plans(observed(400, early=0.3, late=0.8), prices=[1e-6, 1e-4, 1e-2])
    assert known is not None

    def taken(target: float) -> PlanOption:
        query = Query("q", (Message("user", "q"),), limits=Limits(target_accuracy=target))
        plan = plan_of(begun(KnownCurve(known), query=query))
        assert plan.forecast is not None
        plans = [each for table in known.tables for each in table.plans]
        return next(each for each in plans if each.forecast == plan.forecast)

    easy, hard = taken(0.25), taken(0.85)
    assert easy.forecast.accuracy - easy.error >= 0.25
    assert hard.forecast.accuracy - hard.error >= 0.85
    assert easy.forecast.tokens < hard.forecast.tokens


def test_a_plan_for_a_target_keeps_the_votes_of_its_own_price() -> None:
    known = fit_plans(observed(400, early=0.3, late=0.6), prices=[1e-7, 1e-2])
    assert known is not None
    query = Query("q", (Message("user", "q"),), limits=Limits(target_accuracy=0.9))
    plan = plan_of(begun(KnownCurve(known), query=query, price=1e-2))
    assert plan.price == 1e-7
    split = [Vote(number, answer, 420, 400) for number, answer in enumerate("abab")]
    now = situation(KnownCurve(known), *split, query=query, plan=plan, price=1e-2)
    assert isinstance(Priced(exploration=0.0).decide(now, Random(0)), Draw)


def test_after_three_chains_without_an_answer_a_query_is_given_up() -> None:
    curve = curve_of(ChainSetting())
    plan = plan_of(begun(curve))
    silent = [Vote(n, None, 104, 100) for n in range(3)]
    policy = Priced()
    assert isinstance(policy.decide(situation(curve, *silent[:2], plan=plan), Random(0)), Draw)
    assert policy.decide(situation(curve, *silent, plan=plan), Random(0)) == Stop("no answer")


def test_exploration_takes_a_falling_share_of_what_plans_take() -> None:
    """At most 2 * RATE * sqrt(N) best plans after N queries, and the first COLD_RUNS."""
    arrivals = stream(0, 400)
    play, _ = by_learning(3e-5, 0)
    explored = [play(arrival).is_exploration for arrival in arrivals]
    cold = 6 * (COLD_RUNS + 1)
    assert sum(explored[200:]) < sum(explored[:200])
    assert sum(explored) <= cold + 6 * 2 * RATE * (400 / 6) ** 0.5


@pytest.mark.slow
def test_what_is_learned_beats_what_is_known_of_nothing() -> None:
    price, arrivals = 8e-6, stream(1, 900)
    play, learner = by_learning(price, 1)
    ours = played(arrivals, play)[450:]
    fixed, rng = build("fixed"), Random(0)
    alone = [solve(fixed, each.asked, rng, COSTS) for each in arrivals[450:]]
    worth = (ours[:, 0] - price * ours[:, 1]).mean()
    assert worth > sum(one.right - price * one.tokens for one in alone) / len(alone)
    assert all(curve.plans is not None and curve.plans.queries > 50 for curve in learner.curves)


def test_a_replayed_question_has_its_chains_in_order() -> None:
    asked = question(0, Random(3))
    result = solve(build("majority", samples=4), asked, Random(0), COSTS)
    ends = [course.ends[0].thinking_tokens for course in result.courses]
    assert ends == [chain.tokens for chain in asked.chains[:4]]


@pytest.mark.parametrize(
    ("option", "value"),
    [("price", 0.0), ("max_samples", 0), ("max_extensions", 7), ("probe_tokens", 0)],
)
def test_a_wrong_option_is_refused_by_its_name(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        Priced(**{option: value})


def test_a_curve_tells_its_nearest_table() -> None:
    known = fit_plans(observed(50, early=0.3, late=0.8), prices=[1e-5, 1e-3])
    assert isinstance(known, PlanCurve)
    assert known.table(2e-5).price == 1e-5
    assert known.table(9e-4).price == 1e-3
