"""The oracle's rules are the best there are on the questions that it knows."""

from random import Random

import numpy as np
import pytest

from benchmarks.oracle import OracleResult, Rule, best_rule, less, mean, paths, regrets
from benchmarks.population import SHAPES, question

PRICE = 3e-4
RNG = Random(0)
ASKED = {shape: [question(shape, n, RNG) for n in range(200)] for shape in SHAPES}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_fixed_setting_is_worth_more_than_the_rule(shape: str) -> None:
    known = [paths(asked) for asked in ASKED[shape]]
    rule = best_rule(known, PRICE)
    for way in known[0]:
        for place in range(len(known[0][way])):
            steps = [one[way][place] for one in known]
            fixed = np.mean([step.right - PRICE * step.tokens for step in steps])
            assert rule.value >= fixed - 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rule_is_worth_what_playing_it_gives(shape: str) -> None:
    known = [paths(asked) for asked in ASKED[shape]]
    rule = best_rule(known, PRICE)
    played = [rule.play(one[rule.way]) for one in known]
    assert rule.value == pytest.approx(np.mean([s.right - PRICE * s.tokens for s in played]))


def test_votes_cost_all_their_chains_and_a_cap_what_it_leaves() -> None:
    asked = ASKED["hard"][0]
    ways = paths(asked)
    assert ways["votes"][2].tokens == sum(vote.tokens for vote in asked.sampled[:3])
    assert ways["cap 8"][0].tokens == 8 + 4
    assert [step.tokens for step in ways["extensions"]] == sorted(
        s.tokens for s in ways["extensions"]
    )


def test_who_plays_as_the_oracle_loses_nothing_and_a_wasted_token_costs_its_price() -> None:
    rule = Rule("votes", frozenset(), 0.0)
    asked = ASKED["sum"][0]
    best = rule.play(paths(asked)["votes"])
    same = OracleResult(asked, "sum", best.right, best.tokens)
    (none, some) = regrets([same, same._replace(tokens=best.tokens + 100)], {"sum": rule}, PRICE)
    assert none == 0
    assert some == pytest.approx(100 * 100 * PRICE)


def test_of_one_value_alone_no_interval_is_known() -> None:
    alone, many = mean(np.array([3.0])), mean(np.array([1.0, 2.0, 3.0] * 30))
    assert (alone.low, alone.high) == (-np.inf, np.inf)
    assert many.low < 2.0 < many.high < 2.3
    assert less(many, many).value == 0 and less(many, many).high > many.high - many.value
