"""Metrics are held against truths: closed forms, simulated populations, other formulas."""

import itertools
from math import comb
from typing import Any

import numpy as np
import pytest

from scheduler.experiments.metrics import at_k, off_policy
from scheduler.experiments.metrics.accuracy import compare, summaries
from scheduler.experiments.metrics.bootstrap import resampled, sign_flip_p
from scheduler.experiments.metrics.calibration import calibration
from scheduler.experiments.metrics.latency import percentiles
from scheduler.experiments.metrics.pareto import (
    Point,
    against_the_rest,
    area_between,
    hull,
    tokens_at_equal_accuracy,
    tokens_for,
)
from scheduler.experiments.metrics.table import ScoreTable, score_table


def row(policy: str, question: int, correct: bool | None, tokens: int = 10, **more: Any) -> Any:
    plain = {"policy": policy, "questions": "q", "id": str(question), "class": "c", "seed": 0}
    return plain | {"correct": correct, "tokens": tokens, "seconds": 1.0} | more


def population(rng: np.random.Generator, questions: int, seeds: int, gain: float) -> ScoreTable:
    """Two policies on questions of mixed difficulty; the second is right `gain` more often."""
    chance = rng.beta(0.5, 0.5, questions) * (1 - gain)
    rows = [
        row(name, q, bool(rng.random() < chance[q] + more), seed=seed)
        for name, more in (("a", 0.0), ("b", gain))
        for q in range(questions)
        for seed in range(seeds)
    ]
    return score_table(rows)


def test_seeds_of_a_greedy_policy_are_no_new_questions() -> None:
    once = [row("p", q, q % 3 == 0, 10 + q) for q in range(60)]
    twice = once + [line | {"seed": 1} for line in once]
    (one,), (two,) = summaries(score_table(once)), summaries(score_table(twice))
    assert (one.accuracy, one.tokens) == (two.accuracy, two.tokens)
    assert (one.questions, one.answered, two.answered) == (60, 60, 120)
    assert one.accuracy.low < one.accuracy.value < one.accuracy.high
    assert one.tokens.low < one.tokens.value < one.tokens.high


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, held, differed, runs = np.random.default_rng(1), 0, 0, 60
    for _ in range(runs):
        table = population(rng, 80, 3, 0.1)
        found = {each.policy: each.accuracy for each in summaries(table)}
        held += found["a"].low <= 0.45 <= found["a"].high
        gained = compare(table, "b", "a").accuracy
        differed += gained.low <= 0.1 <= gained.high
    assert 0.88 <= held / runs <= 1.0
    assert 0.88 <= differed / runs <= 1.0


def test_a_difference_is_paired_by_question() -> None:
    """Hard and easy questions differ more than the policies: unpaired, nothing could be seen."""
    rows = [row("a", q, q >= 50) for q in range(100)] + [row("b", q, q >= 40) for q in range(100)]
    found = compare(score_table(rows), "b", "a")
    assert found.accuracy.value == pytest.approx(0.1)
    assert found.accuracy.low > 0
    assert found.accuracy_p < 0.01
    assert found.tokens == pytest.approx((1.0, 1.0, 1.0))
    assert found.tokens_p == 1.0


def test_only_common_questions_are_compared() -> None:
    rows = [row("a", 1, True), row("a", 2, False), row("b", 2, True), row("b", 3, False)]
    table = score_table([*rows, row("b", 1, None)])
    assert compare(table, "a", "b").questions == 1
    with pytest.raises(ValueError, match="no policy 'x' in it; there are a, b"):
        compare(table, "a", "x")
    with pytest.raises(ValueError, match="no common question"):
        compare(score_table(rows[:1] + rows[3:]), "a", "b")


@pytest.mark.parametrize(("correct", "low", "high"), [(True, 0.83, 1.0), (False, 0.0, 0.17)])
def test_all_right_is_not_certainty(correct: bool, low: float, high: float) -> None:
    (found,) = summaries(score_table([row("p", q, correct) for q in range(20)]))
    assert found.accuracy.low == pytest.approx(low, abs=0.02)
    assert found.accuracy.high == pytest.approx(high, abs=0.02)


def test_a_resample_has_as_many_questions() -> None:
    weights = resampled(30, resamples=50, seed=3)
    assert weights.shape == (50, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert (weights != resampled(30, resamples=50, seed=4)).any()
    assert (weights == resampled(30, resamples=50, seed=3)).all()


def test_the_sign_flip_test_keeps_its_level() -> None:
    rng = np.random.default_rng(0)
    found = [sign_flip_p(rng.normal(size=40), resamples=500, seed=n) for n in range(300)]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.08


HULL = [Point(100, 0.5), Point(290, 0.55), Point(200, 0.7), Point(400, 0.6), Point(400, 0.8)]


def test_the_hull_is_what_mixes_reach() -> None:
    assert hull(HULL) == [Point(100, 0.5), Point(200, 0.7), Point(400, 0.8)]
    assert tokens_for(HULL, 0.3) == 100
    assert tokens_for(HULL, 0.6) == pytest.approx(150)
    assert tokens_for(HULL, 0.75) == pytest.approx(300)
    assert tokens_for(HULL, 0.81) == np.inf == tokens_for([], 0.1)


def line_up(*points: tuple[str, float, int], questions: int = 100) -> ScoreTable:
    return score_table(
        [
            row(name, q, q < accuracy * questions, tokens)
            for name, accuracy, tokens in points
            for q in range(questions)
        ]
    )


def test_tokens_at_equal_accuracy() -> None:
    table = line_up(("short", 0.5, 100), ("long", 0.8, 400), ("learned", 0.65, 125))
    half = tokens_at_equal_accuracy(table, "learned", others=["short", "long"])
    assert half.value == pytest.approx(0.5)
    assert half.low <= half.value <= half.high
    assert against_the_rest(table)["learned"] == half
    best = tokens_at_equal_accuracy(table, "long", others=["short", "learned"])
    assert best.value == 0
    first = tokens_at_equal_accuracy(table, "short", others=["long"])
    assert np.isnan(first.value)


def test_the_area_between_curves_is_a_mean_of_accuracy() -> None:
    table = line_up(("a1", 0.6, 100), ("a2", 0.8, 400), ("b1", 0.5, 100), ("b2", 0.7, 400))
    gap = area_between(table, ["a1", "a2"], ["b1", "b2"])
    assert gap.value == pytest.approx(0.1)
    assert gap.low > 0
    assert area_between(table, ["b1", "b2"], ["a1", "a2"]).value == pytest.approx(-0.1)
    assert np.isnan(area_between(table, ["a1"], ["b2"]).value)


ANSWERS: list[str | None] = ["7", "7", "8", None, "9", "8", "7"]


@pytest.mark.parametrize("k", range(1, len(ANSWERS) + 1))
def test_maj_and_pass_at_k_are_means_over_all_subsets(k: int) -> None:
    right = [answer in ("7", "9") for answer in ANSWERS]
    voted = passed = 0.0
    subsets = list(itertools.permutations(range(len(ANSWERS)), k))
    for chosen in subsets:
        votes = [ANSWERS[n] for n in chosen if ANSWERS[n] is not None]
        leader = max(votes, key=votes.count) if votes else None  # ties: the first
        voted += leader in ("7", "9")
        passed += any(right[n] for n in chosen)
    assert at_k.majority_at_k(ANSWERS, right, k) == pytest.approx(voted / len(subsets))
    assert at_k.pass_at_k(sum(right), len(right), k) == pytest.approx(passed / len(subsets))


def test_more_chains_than_there_are_is_refused() -> None:
    assert at_k.pass_at_k(0, 4, 2) == 0 and at_k.pass_at_k(4, 4, 1) == 1
    assert at_k.pass_at_k(1, 4, 2) == 1 - comb(3, 2) / comb(4, 2)
    for k in (0, 5):
        with pytest.raises(ValueError, match="k must be from 1 to the 4 chains"):
            at_k.pass_at_k(1, 4, k)


def test_calibration_tells_good_predictions_from_bad() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(4000)
    came = list(rng.random(4000) < chance)
    good = calibration(list(chance), came)
    bad = calibration([0.9] * 4000, came)
    assert good.error < 0.03 < 0.35 < bad.error
    assert good.brier == pytest.approx(1 / 6, abs=0.01)
    assert good.log_loss < bad.log_loss
    assert sum(each.answers for each in good.bins) == 4000 and len(good.bins) == 10
    with pytest.raises(ValueError, match="no predictions"):
        calibration([], [])


def test_latency_has_percentiles() -> None:
    assert percentiles(list(range(101))) == (50, 90, 99)
    with pytest.raises(ValueError, match="no values"):
        percentiles([])


def logged(rng: np.random.Generator, n: int) -> Any:
    """A bandit of two choices: the second pays 0.7, the first 0.4; the log takes it at 20 %."""
    took = rng.random(n) < 0.2
    reward = (rng.random(n) < np.where(took, 0.7, 0.4)).astype(float)
    propensity = np.where(took, 0.2, 0.8)
    return took, reward, propensity


def test_estimators_come_near_the_truth_of_another_policy() -> None:
    rng, found = np.random.default_rng(2), []
    for _ in range(100):
        took, reward, propensity = logged(rng, 600)
        target = np.where(took, 0.9, 0.1)
        wrong = np.full(600, 0.5)
        model = np.where(took, 0.7, 0.4)
        found.append(
            (
                off_policy.ips(reward, target, propensity),
                off_policy.snips(reward, target, propensity),
                off_policy.doubly_robust(reward, target, propensity, model, np.full(600, 0.67)),
                off_policy.doubly_robust(reward, target, propensity, wrong, wrong),
            )
        )
    truth = 0.9 * 0.7 + 0.1 * 0.4
    values = np.array([[each.value for each in line] for line in found])
    errors = np.array([[each.error for each in line] for line in found])
    assert values.mean(axis=0) == pytest.approx(truth, abs=0.015)
    assert values.std(axis=0) == pytest.approx(errors.mean(axis=0), rel=0.25)
    assert values[:, 2].std() < values[:, 0].std()
    within = np.abs(values - truth) < 1.96 * errors
    assert (within.mean(axis=0) > 0.88).all()


def test_estimators_agree_with_the_open_bandit_pipeline() -> None:
    """The same arrays through obp 0.4.1 (arXiv 2008.07146), which no test imports."""
    rng, n, k = np.random.default_rng(0), 2000, 4
    behaviour, target = (rng.dirichlet(np.ones(k) * 3, size=n) for _ in range(2))
    action = np.array([rng.choice(k, p=p) for p in behaviour])
    chance, at = rng.random((n, k)), np.arange(n)
    reward = (rng.random(n) < chance[at, action]).astype(float)
    model = np.clip(chance + rng.normal(0, 0.1, chance.shape), 0, 1)
    ours, theirs = target[at, action], behaviour[at, action]
    mean = (target * model).sum(1)
    robust = off_policy.doubly_robust(reward, ours, theirs, model[at, action], mean)
    ips, snips = off_policy.ips(reward, ours, theirs), off_policy.snips(reward, ours, theirs)
    assert ips.value == pytest.approx(0.516213911405493, rel=1e-12)
    assert snips.value == pytest.approx(0.5195520055874572, rel=1e-12)
    assert robust.value == pytest.approx(0.5179926966376587, rel=1e-12)
    # Its bootstrap of 2,000 resamples gives 0.4849 to 0.5493.
    assert ips.value - 1.96 * ips.error == pytest.approx(0.4849, abs=0.003)
    assert ips.value + 1.96 * ips.error == pytest.approx(0.5493, abs=0.003)


def test_decisions_of_one_question_are_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(1)
    once = rng.random(50)
    thrice, clusters = np.repeat(once, 3), np.repeat(np.arange(50), 3)
    assert off_policy.mean(thrice, clusters).error == pytest.approx(off_policy.mean(once).error)
    assert off_policy.mean(thrice).error < off_policy.mean(once).error


def test_too_little_overlap_is_refused() -> None:
    took, _, propensity = logged(np.random.default_rng(3), 60)
    enough = off_policy.overlap(np.where(took, 0.2, 0.8), propensity)
    assert enough.effective == pytest.approx(60) and enough.largest == pytest.approx(1)
    off_policy.refuse_little(enough)
    little = off_policy.overlap(took * 1.0, propensity)
    with pytest.raises(off_policy.TooLittleOverlap, match="at least 30"):
        off_policy.refuse_little(little)
    with pytest.raises(off_policy.TooLittleOverlap, match="never makes 40%"):
        off_policy.refuse_little(enough._replace(covered=0.6))
    with pytest.raises(ValueError, match="propensities must be in"):
        off_policy.ips(np.ones(2), np.ones(2), np.array([0.0, 1.0]))
