"""A curve that levels off, or falls, beyond what was seen."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.hill import CapPoint, fit_hill


def hill(tokens: float, start: float, end: float, half: float, steep: float) -> float:
    return start + (end - start) / (1 + math.pow(half / tokens, steep))


CAPS = [2.0**octave for octave in range(4, 14)]


@pytest.mark.parametrize(("start", "end"), [(0.1, 0.8), (0.8, 0.3), (0.5, 0.5)])
@pytest.mark.parametrize("half", [100.0, 700.0])
def test_a_known_curve_is_recovered(start: float, end: float, half: float) -> None:
    seen = [CapPoint(cap, hill(cap, start, end, half, 1.5), 400.0) for cap in CAPS]
    fitted = fit_hill(seen)
    for cap in [*CAPS, 50_000.0]:
        truth = hill(cap, start, end, half, 1.5)
        assert fitted.at(cap) == pytest.approx(truth, abs=0.04)
        low, high = fitted.interval(cap)
        assert low - 0.03 <= truth <= high + 0.03


def test_an_interval_widens_away_from_what_was_seen() -> None:
    fitted = fit_hill([CapPoint(cap, hill(cap, 0.1, 0.8, 500, 1.0), 100.0) for cap in CAPS[:5]])
    errors = [fitted.interval(cap).error for cap in (128, 1024, 8192, 65536)]
    assert errors == sorted(errors) and errors[-1] > 2 * errors[0]


def test_without_anything_seen_anything_may_be() -> None:
    fitted = fit_hill([])
    assert fitted.at(1000) == pytest.approx(0.5, abs=0.01)
    assert fitted.interval(1000) == (0.0, 1.0)


@given(
    st.lists(
        st.builds(CapPoint, st.floats(1, 1e6), st.floats(0, 1), st.floats(0, 1e6)), max_size=30
    ),
    st.floats(0.1, 1e8),
)
def test_whatever_was_seen_the_curve_is_an_accuracy(seen: list[CapPoint], tokens: float) -> None:
    fitted = fit_hill(seen)
    low, high = fitted.interval(tokens)
    assert 0 <= low <= high <= 1 and 0 <= fitted.at(tokens) <= 1


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (CapPoint(0.0, 0.5, 1.0), "tokens"),
        (CapPoint(10.0, math.nan, 1.0), "accuracy"),
        (CapPoint(10.0, 0.5, math.inf), "weight"),
    ],
)
def test_what_cannot_be_is_refused(one: CapPoint, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        fit_hill([one])
