"""What the tail confidence of the thinking tells of answers, and when it is left alone."""

import math
from dataclasses import replace
from random import Random

import pytest

from policies.curves.extension_counts import AnswerState, ExtensionCounts
from policies.curves.extension_curve import ExtensionCurve, fit_extensions
from policies.curves.extension_rule import extension_rules, next_extension
from policies.curves.plans.counts import PlanCounts, courses_of
from policies.curves.plans.settings import ChainSetting
from policies.curves.tail_confidence import TailConfidence, TailCounts, fit_tail
from policies.signals import Confidence
from policies.tally import Vote

DEVIATION = 0.3
FIRST = AnswerState(0, 1)


def end(tail: float | None, extensions: int = 0, answer: str = "a") -> Vote:
    confidence = None if tail is None else Confidence(tail=tail)
    tokens = 50 * (extensions + 1)
    cause = "extensions" if extensions else "natural"
    return Vote(0, answer, tokens, tokens, extensions, cause, confidence=confidence)


def seen(right: float, wrong: float, *, chains: int = 400, labelled: float = 1.0) -> TailCounts:
    """Half of the answers are right; the mean confidence of the right and of the wrong ones."""
    rng, counts = Random(3), TailCounts()
    for _ in range(chains):
        is_right = rng.random() < 0.5
        tail = rng.gauss(right if is_right else wrong, DEVIATION)
        counts.observe([end(tail)], [is_right if rng.random() < labelled else None])
    return counts


def fitted(counts: TailCounts, parent: TailCounts | None = None) -> TailConfidence:
    tail = fit_tail(counts, parent)
    assert tail is not None
    return tail


def truth(prior: float, tail: float, right: float, wrong: float) -> float:
    """Bayes' rule."""
    yes = prior * math.exp(-((tail - right) ** 2) / (2 * DEVIATION**2))
    no = (1 - prior) * math.exp(-((tail - wrong) ** 2) / (2 * DEVIATION**2))
    return yes / (yes + no)


@pytest.mark.parametrize(("right", "wrong"), [(15.0, 14.6), (0.1, 0.5)])
@pytest.mark.parametrize("labelled", [1.0, 0.25])
def test_the_chance_is_that_of_bayes_whichever_way_the_figure_goes(
    right: float, wrong: float, labelled: float
) -> None:
    tail = fitted(seen(right, wrong, labelled=labelled))
    for prior in (0.2, 0.5, 0.8):
        for at in (right, (right + wrong) / 2, wrong):
            assert tail.chance(prior, 0, at) == pytest.approx(
                truth(prior, at, right, wrong), abs=0.12
            )


def test_a_figure_that_tells_nothing_and_one_that_is_not_known_are_left_alone() -> None:
    assert fit_tail(seen(15.0, 15.0)) is None
    assert fit_tail(seen(15.0, 14.0, labelled=0.0)) is None
    counts = TailCounts()
    counts.observe([end(None)], [True])
    assert counts == TailCounts()


def test_a_class_without_labels_leans_on_its_parent() -> None:
    alone, parent = seen(15.0, 14.4, chains=40, labelled=0.0), seen(15.0, 14.4)
    assert fit_tail(alone) is None
    assert fitted(alone, parent).chance(0.5, 0, 15.0) > 0.7


def test_extensions_that_nobody_has_seen_shift_nothing() -> None:
    assert fitted(seen(15.0, 14.4)).chance(0.3, 5, 20.0) == pytest.approx(0.3)


def test_chances_before_the_figure_is_known_have_the_prior_as_their_mean() -> None:
    tail = fitted(seen(15.0, 14.6))
    for prior in (0.1, 0.5, 0.95):
        chances, weights = tail.outlook(prior, 0)
        assert weights.sum() == pytest.approx(1.0)
        assert (chances * weights).sum() == pytest.approx(prior, abs=0.01)
        assert chances.min() < prior < chances.max()


def repaired(tails: bool, chains: int = 400) -> ExtensionCurve:
    """An extension repairs all wrong answers; half of the first ones are right, and surer."""
    rng, counts, seen = Random(5), ExtensionCounts(), TailCounts()
    for _ in range(chains):
        is_right = rng.random() < 0.5
        tail = rng.gauss(15.0 if is_right else 14.0, DEVIATION)
        votes = [end(tail, 0, "a" if is_right else "b"), end(15.0, 1, "a")]
        counts.observe(votes, [is_right, True])
        if tails:
            seen.observe(votes, [is_right, True])
    curve = fit_extensions(counts, tails=(seen, TailCounts()))
    assert curve is not None
    return curve


def test_only_answers_of_unsure_chains_are_extended_and_that_is_foretold() -> None:
    price = 4e-3  # an extension pays where the answer is right with less than four in five
    known, plain = repaired(tails=True), repaired(tails=False)
    (rule,), (blind,) = (extension_rules(curve, [price]) for curve in (known, plain))
    assert rule.goes_on(FIRST, known.chance(FIRST, 14.0))
    assert not rule.goes_on(FIRST, known.chance(FIRST, 15.0))
    assert blind.goes_on(FIRST, plain.chance(FIRST, 15.0))
    gained = rule.forecast.net_value(price) - blind.forecast.net_value(price)
    # At most half of the chains are spared the 50 tokens of an extension that brings nothing.
    assert 0.7 * 0.5 * 50 * price < gained < 0.5 * 50 * price
    assert rule.forecast.tokens == pytest.approx(75, rel=0.1)


def test_what_one_more_extension_would_bring_is_known_by_the_confidence() -> None:
    curve = repaired(tails=True)
    unsure, sure, unknown = (next_extension(curve, [end(tail)]) for tail in (14.0, 15.0, None))
    assert unsure.chance < unknown.chance < sure.chance
    assert unsure.forecast.accuracy > 0.8 > 0.1 > sure.forecast.accuracy
    assert unsure.extensions == 0
    assert unsure.forecast.tokens == pytest.approx(50, rel=0.1)
    assert (unsure.by_confidence, unknown.by_confidence) == (True, False)


def test_what_was_counted_adds_up_fades_and_is_kept() -> None:
    counts = PlanCounts()
    counts.tails.merge(seen(15.0, 14.4, chains=20))
    again = PlanCounts.from_dict(counts.as_dict())
    assert again.tails == counts.tails
    counts.scale(0.5)
    assert counts.tails.ends[0] == 10
    counts.merge(again)
    assert counts.tails.ends[0] == 30
    stored = again.as_dict()
    del stored["tails"]
    assert PlanCounts.from_dict(stored).tails == TailCounts()


def test_the_first_chain_of_a_query_is_counted_end_by_end() -> None:
    counts = PlanCounts()
    history = (end(14.0), end(15.0, 1), replace(end(13.0), chain=1))
    courses = courses_of(history, (), ChainSetting("extend", 1))
    counts.observe(courses, lambda _: True, is_exploration=True)
    assert counts.tails.ends[:3] == [1, 1, 0]
    assert counts.tails.right_total[:2] == [14, 15]
