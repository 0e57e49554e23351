"""The oracle's rules are the best there are on the questions that it knows."""

from random import Random

import numpy as np
import pytest

from benchmarks.oracle import OracleResult, difference, mean, paths, regrets
from benchmarks.populations.questions import SHAPES, question
from scheduler.experiments.metrics.regret import Rule, best_rule

PRICE = 3e-4
RNG = Random(0)
SIMULATED = {shape: [question(shape, n, RNG) for n in range(200)] for shape in SHAPES}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_fixed_setting_is_worth_more_than_the_rule(shape: str) -> None:
    known = [paths(simulated) for simulated in SIMULATED[shape]]
    rule = best_rule(known, PRICE)
    for method in known[0]:
        for place in range(len(known[0][method])):
            steps = [one[method][place] for one in known]
            fixed = np.mean([step.right - PRICE * step.tokens for step in steps])
            assert rule.value >= fixed - 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rule_is_worth_what_playing_it_gives(shape: str) -> None:
    known = [paths(simulated) for simulated in SIMULATED[shape]]
    rule = best_rule(known, PRICE)
    results = [rule.follow(one[rule.method]) for one in known]
    assert rule.value == pytest.approx(np.mean([s.right - PRICE * s.tokens for s in results]))


def test_votes_cost_all_their_chains_and_a_cap_what_it_leaves() -> None:
    simulated = SIMULATED["hard"][0]
    methods = paths(simulated)
    assert methods["votes"][2].tokens == sum(vote.tokens for vote in simulated.sampled[:3])
    assert methods["cap 8"][0].tokens == 8 + 4
    assert [step.tokens for step in methods["extensions"]] == sorted(
        s.tokens for s in methods["extensions"]
    )


def test_who_plays_as_the_oracle_loses_nothing_and_a_wasted_token_costs_its_price() -> None:
    rule = Rule("votes", frozenset(), 0.0)
    simulated = SIMULATED["sum"][0]
    best = rule.follow(paths(simulated)["votes"])
    same = OracleResult(simulated, "sum", best.right, best.tokens)
    (none, some) = regrets([same, same._replace(tokens=best.tokens + 100)], {"sum": rule}, PRICE)
    assert none == 0
    assert some == pytest.approx(100 * 100 * PRICE)


def test_of_one_value_alone_no_interval_is_known() -> None:
    alone, many = mean(np.array([3.0])), mean(np.array([1.0, 2.0, 3.0] * 30))
    assert (alone.low, alone.high) == (-np.inf, np.inf)
    assert many.low < 2.0 < many.high < 2.3
    assert (
        difference(many, many).value == 0 and difference(many, many).high > many.high - many.value
    )
