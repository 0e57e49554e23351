"""Engines are compared by how they rank policies, against a kept formula and known orders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from scheduler.experiments.engine_tables import engine_tables
from scheduler.experiments.metrics.agreement import agreement, kendall_tau
from scheduler.experiments.metrics.table import ScoreTable, score_table
from scheduler.experiments.report_files import write


def rows(engine: str, chances: dict[str, float], *, ids: str = "q", seed: int = 0) -> list[Any]:
    """200 questions; a policy's accuracy is its chance, and its tokens are 100 times that."""
    rng = np.random.default_rng(seed)
    return [
        {
            "engine": engine,
            "questions": f"set of {engine}",
            "policy": policy,
            "id": f"{ids}{number}",
            "class": "c",
            "seed": 0,
            "correct": bool(rng.random() < chance),
            "tokens": 100 * chance + rng.random(),
            "seconds": 1.0,
        }
        for policy, chance in chances.items()
        for number in range(200)
    ]


def scores(*given: Any, **more: Any) -> ScoreTable:
    return score_table(rows(*given, **more))


def test_tau_is_that_of_a_kept_library_ties_included() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (50, 7)), rng.integers(0, 4, (50, 7))
    wanted = [kendalltau(a, b).statistic for a, b in zip(one, other, strict=True)]
    assert kendall_tau(one.astype(float), other.astype(float)) == pytest.approx(wanted)
    assert np.isnan(kendall_tau(np.ones(3), np.array([0.0, 1.0, 2.0])))


def test_the_same_order_is_one_and_the_reverse_minus_one() -> None:
    up = {"a": 0.1, "b": 0.4, "c": 0.7, "d": 0.95}
    found, swaps = agreement(scores("x", up), scores("y", up, seed=1))
    assert found.policies == 4 and not swaps
    assert found.accuracy == found.tokens == (1.0, 1.0, 1.0)
    down = dict(zip(up, reversed(up.values()), strict=True))
    found, swaps = agreement(scores("x", up), scores("y", down, seed=1))
    assert found.accuracy == (-1.0, -1.0, -1.0)
    assert len(swaps) == 12 and all(swap.is_beyond_chance for swap in swaps)


def test_policies_that_hardly_differ_are_no_real_disagreement() -> None:
    near = {"a": 0.1, "b": 0.5, "c": 0.5, "d": 0.9}
    taus, swapped = [], []
    for seed in range(20):
        found, swaps = agreement(scores("x", near, seed=seed), scores("y", near, seed=100 + seed))
        taus.append(found.accuracy)
        swapped += [swap for swap in swaps if swap.measure == "accuracy"]
    assert {(swap.a, swap.b) for swap in swapped} == {("b", "c")}
    assert sum(swap.is_beyond_chance for swap in swapped) <= 1
    assert all(tau.low < 1 and tau.low <= tau.value <= tau.high for tau in taus)


def test_questions_of_both_engines_are_drawn_together() -> None:
    """Two engines that answer alike agree in every resample, however close the policies are."""
    near = {"a": 0.5, "b": 0.5, "c": 0.5}
    same, shuffled = scores("x", near), score_table(reversed(rows("y", near)))
    found, _ = agreement(same, shuffled)
    assert found.accuracy == (1.0, 1.0, 1.0)
    others, _ = agreement(same, scores("y", near, ids="other"))
    assert others.accuracy.low < 1


def test_one_policy_makes_no_ranking(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two policies"):
        agreement(scores("x", {"a": 0.5}), scores("y", {"a": 0.5}))
    assert engine_tables(rows("x", {"a": 0.5, "b": 0.6})) == []
    assert engine_tables(rows("x", {"a": 0.5}) + rows("y", {"a": 0.5})) == []


def test_a_report_of_several_engines_tells_of_it(tmp_path: Path) -> None:
    up, down = {"a": 0.2, "b": 0.8}, {"a": 0.8, "b": 0.2}
    given = rows("x", up) + rows("y", up) + rows("z", down)
    ranked, opposite = engine_tables(given)
    assert [line[:3] for line in ranked.rows] == [
        ("x, y", "2", "1.00 (1.00 to 1.00)"),
        ("x, z", "2", "-1.00 (-1.00 to -1.00)"),
        ("y, z", "2", "-1.00 (-1.00 to -1.00)"),
    ]
    assert {line[-1] for line in opposite.rows} == {"yes"} and len(opposite.rows) == 4
    text = write(tmp_path, given).read_text()
    assert ranked.title in text and opposite.title in text
    assert ranked.title in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report-engines-2.csv").is_file()
