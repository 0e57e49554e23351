"""Lengths with cut chains: what a cap costs and saves."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.length_curve import CAPS, LengthCounts, LengthCurve, fit_lengths


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


def cut_at(cap: int, *, chains: int = 600, falling: bool = False) -> LengthCurve:
    """Lengths around 1,100 tokens; accuracy rises, or falls, with what a chain may think."""
    rng, counts = Random(5), LengthCounts()
    for _ in range(chains):
        length = round(rng.lognormvariate(7.0, 0.5))
        given = rng.choice([limit for limit in CAPS if limit <= cap])
        spent = min(length, given)
        share = 0.1 + 0.8 / (1 + (400 / spent) ** 2)
        right = rng.random() < (1 - share if falling else share)
        counts.observe(spent, answer_tokens=4, is_cut=length > given, right=right)
    curve = fit_lengths(counts, accuracy_at_end=0.2 if falling else 0.8)
    assert curve is not None
    return curve


def test_beyond_what_was_seen_accuracy_goes_on_rising_or_falling() -> None:
    for falling in (False, True):
        curve = cut_at(724, falling=falling)
        assert CAPS[curve.observed - 1] <= 724
        edge, far = curve.beyond(724).accuracy, curve.beyond(4096).accuracy
        assert (far < edge) is falling and far != edge


def test_an_extrapolation_holds_the_truth_and_says_that_it_is_less_sure() -> None:
    curve = cut_at(724, chains=3000)
    near, far = curve.beyond(700), curve.beyond(4096)
    truth = cut_at(65536, chains=3000).beyond(4096)
    assert far.accuracy_interval.low <= truth.accuracy <= far.accuracy_interval.high
    assert far.tokens_interval[0] <= truth.tokens <= far.tokens_interval[1]
    assert far.accuracy_interval.error > near.accuracy_interval.error


@given(
    st.lists(st.tuples(st.integers(1, 60_000), st.sampled_from(CAPS), st.booleans()), min_size=1),
    st.integers(1, 200_000),
    st.integers(1, 200_000),
)
def test_any_cap_has_a_forecast_within_its_intervals(
    chains: list[tuple[int, int, bool]], one: int, other: int
) -> None:
    counts = LengthCounts()
    for length, cap, right in chains:
        counts.observe(min(length, cap), answer_tokens=4, is_cut=length > cap, right=right)
    curve = fit_lengths(counts, accuracy_at_end=0.6)
    assert curve is not None
    low, high = sorted((one, other))
    for cap in (low, high):
        forecast = curve.beyond(cap)
        assert forecast.accuracy_interval.low <= forecast.accuracy
        assert forecast.accuracy <= forecast.accuracy_interval.high
        assert forecast.tokens_interval[0] <= forecast.tokens <= forecast.tokens_interval[1]
    assert curve.beyond(low).tokens <= curve.beyond(high).tokens + 1e-6
