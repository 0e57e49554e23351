"""Regret against one who knows: nobody does better in the long run, and a token costs its price."""

import numpy as np
import pytest

from scheduler.experiments import oracle
from scheduler.experiments.metrics.regret import regret
from workers.simulated.law import LAWS, reference

PRICE = 3e-4


def row(policy: str, number: int, *, right: bool, tokens: int, seed: int = 0) -> dict[str, object]:
    return {"policy": policy, "id": f"{number}", "class": "c", "seed": seed, "correct": right,
            "tokens": tokens}  # fmt: skip


def test_what_is_lost_is_accuracy_and_tokens() -> None:
    rows = [row("a", n, right=n < 8, tokens=100) for n in range(10)]
    rows += [row("b", n, right=n < 8, tokens=200) for n in range(10)]
    found = regret(rows, {"c": 0.9}, PRICE)
    assert found["a"].value == pytest.approx(90 - 80 + 3)
    assert found["b"].value - found["a"].value == pytest.approx(100 * 100 * PRICE)
    assert found["a"].low < found["a"].value < found["a"].high


def test_seeds_of_a_question_are_no_new_evidence() -> None:
    once = [row("a", n, right=n < 5, tokens=100) for n in range(10)]
    thrice = [each | {"seed": seed} for each in once for seed in range(3)]
    assert regret(once, {"c": 0.9}, PRICE) == regret(thrice, {"c": 0.9}, PRICE)


def test_a_row_without_a_grade_is_left_out() -> None:
    rows = [row("a", 0, right=True, tokens=10)]
    ungraded = row("a", 1, right=True, tokens=9999) | {"correct": None}
    assert regret([*rows, ungraded], {"c": 0.9}, PRICE) == regret(rows, {"c": 0.9}, PRICE)


def test_the_truth_is_that_of_the_law() -> None:
    law, points = LAWS["hard"], {(p.kind, p.x): p for p in oracle.truth("hard")}
    for extensions in range(4):
        exact = law.accuracy_after(extensions)
        assert points["extensions", extensions].accuracy == pytest.approx(exact, abs=0.05)
    assert points["cap", 8].tokens == pytest.approx(8 + 6)
    voted = [points["votes", n] for n in (1, 4, 16)]
    assert [p.tokens for p in voted] == sorted(p.tokens for p in voted)
    assert voted[2].accuracy > voted[0].accuracy


def test_the_rule_is_worth_at_least_any_fixed_setting() -> None:
    rule = oracle.rule("hard", PRICE)
    settings = [p.accuracy - PRICE * p.tokens for p in oracle.truth("hard")]
    assert rule.value >= np.max(settings) - 1e-9


def test_only_the_simulated_population_is_known() -> None:
    name = "easy question 0-1"
    own = {"id": name, "class": "easy", "reference": reference(name)}
    assert oracle.knows([own])
    assert not oracle.knows([own, own | {"reference": None}])
    assert not oracle.knows([own | {"class": "sums"}])
