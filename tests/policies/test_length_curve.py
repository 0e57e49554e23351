"""Lengths with cut chains: what a cap costs and saves."""

from random import Random

import pytest

from policies.length_curve import CAPS, LengthCounts, LengthCurve, fit_lengths


def fitted(lengths: list[int], caps: list[int], *, right: bool = True) -> LengthCurve:
    counts = LengthCounts()
    for length, cap in zip(lengths, caps, strict=True):
        is_cut = length > cap
        counts.observe(
            min(length, cap),
            answer_tokens=4,
            is_cut=is_cut,
            right=None if is_cut else right,
        )
    curve = fit_lengths(counts, accuracy_at_end=0.8)
    assert curve is not None
    return curve


def test_without_lengths_there_is_no_curve() -> None:
    assert fit_lengths(LengthCounts(), accuracy_at_end=0.5) is None


def test_the_share_still_thinking_is_the_empirical_one_when_nothing_was_cut() -> None:
    rng = Random(1)
    lengths = [round(rng.lognormvariate(5, 0.6)) for _ in range(400)]
    curve = fitted(lengths, [10**6] * 400)
    for cap, share in zip(CAPS, curve.still_thinking, strict=False):
        assert share == pytest.approx(sum(length > cap for length in lengths) / 400)


def test_cut_chains_do_not_bias_the_lengths() -> None:
    rng = Random(2)
    lengths = [round(rng.lognormvariate(5, 0.6)) for _ in range(4000)]
    known = fitted(lengths, [10**6] * 4000)
    censored = fitted(lengths, [rng.choice([91, 181, 10**6]) for _ in lengths])
    for one, other in zip(known.still_thinking, censored.still_thinking, strict=False):
        assert one == pytest.approx(other, abs=0.03)


def test_tokens_never_fall_and_end_at_the_mean_length() -> None:
    lengths = [40] * 30 + [100] * 10
    curve = fitted(lengths, [10**6] * 40)
    tokens = [forecast.tokens for forecast in curve.forecasts]
    assert tokens == sorted(tokens)
    assert curve.at(10**6).tokens == pytest.approx(55 + 4)


def test_a_cut_chain_may_be_right_more_often_than_a_finished_one() -> None:
    counts = LengthCounts()
    for _ in range(100):
        counts.observe(45, answer_tokens=4, is_cut=True, right=True)
        counts.observe(200, answer_tokens=4, is_cut=False, right=False)
    curve = fit_lengths(counts, accuracy_at_end=0.1)
    assert curve is not None
    assert curve.at(45).accuracy > 0.8 > 0.2 > curve.at(10**6).accuracy


def test_between_two_caps_the_curve_is_interpolated() -> None:
    curve = fitted([40] * 10 + [100] * 10, [10**6] * 20)
    low, middle, high = (curve.at(cap) for cap in (64, 77, 91))
    assert low.tokens < middle.tokens < high.tokens


def test_a_class_without_lengths_takes_its_parents() -> None:
    parent = LengthCounts()
    for _ in range(50):
        parent.observe(60, answer_tokens=4, is_cut=False, right=None)
    curve = fit_lengths(LengthCounts(), parent, accuracy_at_end=0.5)
    assert curve is not None
    assert curve.at(10**6).tokens == pytest.approx(64)
