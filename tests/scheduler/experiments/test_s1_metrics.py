"""s1's metrics give the values that its tables print, from the figures in its appendix."""

import math

import pytest

from scheduler.experiments.metrics.s1 import ScalingRun, control, performance, scaling

# Section 7.5 of the reference: mean thinking tokens and AIME24 accuracy in percent.
TCC = [
    ScalingRun(7939, 80 / 3, 1024), ScalingRun(7158, 30, 2048), ScalingRun(8263, 100 / 3, 4096),
    ScalingRun(7108, 100 / 3, 8192), ScalingRun(7500, 40, 16384),
]  # fmt: skip
TCC_FORCED = [
    ScalingRun(1024, 10 / 3, 1024), ScalingRun(2048, 30, 2048), ScalingRun(4031, 100 / 3, 4096),
    ScalingRun(5664, 100 / 3, 8192), ScalingRun(6330, 40, 16384),
]  # fmt: skip
SCC = [
    ScalingRun(7252, 100 / 3, 1600), ScalingRun(6277, 70 / 3, 3200),
    ScalingRun(5396, 100 / 3, 6400), ScalingRun(5552, 110 / 3, 12800),
    ScalingRun(7551, 100 / 3, 25600),
]  # fmt: skip
SCC_FORCED = [
    ScalingRun(1517, 70 / 3, 1600), ScalingRun(2963, 70 / 3, 3200), ScalingRun(4636, 100 / 3, 6400),
    ScalingRun(5409, 110 / 3, 12800), ScalingRun(7551, 100 / 3, 25600),
]  # fmt: skip
# Short is to think less than without a wish, long is to think more.
CCC = [ScalingRun(8033, 30, most=6109), ScalingRun(9651, 110 / 3, least=6109)]
FORCING = [
    ScalingRun(500, 0, 500), ScalingRun(1000, 40 / 3, 1000), ScalingRun(2000, 30, 2000),
    ScalingRun(3933, 130 / 3), ScalingRun(5300, 50), ScalingRun(6657, 160 / 3),
    ScalingRun(7320, 170 / 3),
]  # fmt: skip
REJECTED = [
    ScalingRun(2974, 40), ScalingRun(3703, 110 / 3), ScalingRun(4344, 100 / 3),
    ScalingRun(4734, 30), ScalingRun(5193, 80 / 3), ScalingRun(5293, 70 / 3),
]  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "controlled", "slope", "best"),
    [
        (TCC, 40, -24, 40.0),
        (TCC_FORCED, 100, 13, 40.0),
        (SCC, 60, 3, 36.7),
        (SCC_FORCED, 100, 6, 36.7),
        (CCC, 50, 25, 36.7),
        (FORCING, 100, 15, 56.7),
    ],
)
def test_table_3_comes_out(
    runs: list[ScalingRun], controlled: float, slope: int, best: float
) -> None:
    assert control(runs) == pytest.approx(controlled)
    assert round(scaling(runs)) == slope
    assert round(performance(runs), 1) == best


def test_rejection_sampling_comes_near_with_five_of_its_six_runs() -> None:
    """The paper prints -35 for five runs, and draws six; which five is not told."""
    assert scaling(REJECTED) == pytest.approx(-28.6, abs=0.1)
    assert scaling(REJECTED[1:]) == pytest.approx(-35.5, abs=0.1)
    assert scaling([REJECTED[0], *REJECTED[2:]]) == pytest.approx(-33.9, abs=0.1)
    assert performance(REJECTED) == 40


def test_a_run_at_its_limit_keeps_it() -> None:
    assert control([ScalingRun(1024, 1, 1024)]) == 100
    assert control([ScalingRun(1024.5, 1, 1024)]) == 0


def test_the_order_of_runs_does_not_count() -> None:
    assert scaling(FORCING[::-1]) == pytest.approx(scaling(FORCING))


def test_runs_of_equal_thinking_have_no_slope() -> None:
    same = [ScalingRun(100, 10), ScalingRun(100, 30), ScalingRun(200, 40)]
    assert scaling(same) == pytest.approx((30 + 10) / 2)
    assert math.isnan(scaling(same[:1])) and math.isnan(scaling(same[:2]))


def test_nothing_is_refused() -> None:
    for metric in (control, performance):
        with pytest.raises(ValueError, match="no runs"):
            metric([])
    with pytest.raises(ValueError, match="thinking_tokens must be positive, got 0"):
        scaling([ScalingRun(0, 10), ScalingRun(5, 20)])
