"""The bound on a mean holds at every moment at once, and is of use."""

import numpy as np
import pytest

from policies.curves.arrays import Floats
from scheduler.experiments.metrics.confidence_sequence import bounds, likely_needed

LOOKS = np.unique(np.geomspace(5, 600, 8).astype(int))


def differences(
    rng: np.random.Generator, count: int, share: float, new: float, old: float
) -> Floats:
    """Of rewards of 0 and 1 in a split; the mean is new - old."""
    ours = rng.random(count) < share
    rewards = (rng.random(count) < np.where(ours, new, old)).astype(float)
    usual = np.concatenate([[0.5], (0.5 + np.cumsum(rewards)[:-1]) / np.arange(2, count + 1)])
    found: Floats = np.where(ours, (rewards - usual) / share, -(rewards - usual) / (1 - share))
    return found


@pytest.mark.parametrize(("share", "new", "old"), [(0.5, 0.7, 0.7), (0.1, 0.6, 0.65)])
def test_who_looks_at_every_moment_and_stops_is_rarely_misled(
    share: float, new: float, old: float
) -> None:
    """Stopped at the first look that excludes the truth: there is no worse rule to stop by."""
    rng, runs, most = np.random.default_rng(4), 200, 1 / min(share, 1 - share)
    below = above = 0
    for _ in range(runs):
        values = differences(rng, int(LOOKS[-1]), share, new, old)
        found = [bounds(values[:count], most=most) for count in LOOKS]
        below += any(each.low > new - old for each in found)
        above += any(each.high < new - old for each in found)
    # 5 % each, and two standard errors of a share of 200 runs.
    assert max(below, above) / runs < 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


def test_bounds_close_in_on_the_mean() -> None:
    rng = np.random.default_rng(5)
    values = differences(rng, 20_000, 0.5, 0.75, 0.65)
    few, many = bounds(values[:500], most=2), bounds(values, most=2)
    assert few.low < many.low and many.high < few.high
    assert many.low < many.mean < many.high and many.low > 0.05
    # A fixed number of observations would give 1.645 standard errors; to hold at any costs more.
    usual = 1.645 * values.std() / len(values) ** 0.5
    assert many.mean - many.low < 3 * usual


def test_how_many_are_needed_is_near_what_it_takes() -> None:
    rng, took, foretold = np.random.default_rng(6), [], []
    for _ in range(6):
        values = differences(rng, 12_000, 0.5, 0.72, 0.68)
        needed = likely_needed(values[:4000] - values[:4000].mean() + 0.04, 0.02, most=2)
        assert needed is not None
        foretold.append(needed)
        counts = np.arange(500, 12_000, 500)
        passed = [n for n in counts if bounds(values[:n], most=2).low > -0.02]
        took.append(int(passed[0]) if passed else 12_000)
    assert 0.5 < np.median(foretold) / np.median(took) < 2


def test_what_will_never_do_is_said() -> None:
    rng = np.random.default_rng(7)
    assert likely_needed(differences(rng, 2000, 0.5, 0.5, 0.7), 0.02, most=2) is None
    assert likely_needed(np.zeros(0), 0.02, most=2) is None


def test_no_values_tell_nothing_and_values_out_of_range_are_refused() -> None:
    empty = bounds(np.zeros(0), most=2)
    assert (empty.low, empty.high, empty.observations) == (-2, 2, 0)
    with pytest.raises(ValueError, match="within -1 and 1, got 3"):
        bounds(np.array([0.0, 3.0]), most=1)
