"""When silence means that a core hangs."""

import pytest

from tests.builders import ManualClock
from workers.vllm.watchdog import MEASURED, SLACK, Watchdog


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watchdog(clock: ManualClock) -> Watchdog:
    return Watchdog(30, seconds_per_token=0.05, step_tokens=2048, clock=clock)


def test_without_work_silence_means_nothing(clock: ManualClock, watchdog: Watchdog) -> None:
    clock.now += 1000
    assert watchdog.overdue() is None
    prefill = watchdog.begin(0)
    assert watchdog.overdue() is None  # its silence begins with the work
    clock.now += 31
    assert watchdog.overdue() == 31
    watchdog.end(prefill)
    assert watchdog.overdue() is None


def test_a_core_that_has_spoken_may_be_silent_for_its_seconds(
    clock: ManualClock, watchdog: Watchdog
) -> None:
    prefill = watchdog.begin(7000)
    clock.now += 300
    assert watchdog.overdue() is None
    watchdog.heard(prefill)
    clock.now += 29
    assert watchdog.overdue() is None
    clock.now += 2
    assert watchdog.overdue() == 31


def test_a_long_prompt_has_time_by_its_length_until_the_speed_is_known(
    clock: ManualClock, watchdog: Watchdog
) -> None:
    watchdog.begin(7192)
    assert watchdog.limit == pytest.approx(30 + 7192 * 0.05)
    clock.now += 389
    assert watchdog.overdue() is None
    clock.now += 2
    assert watchdog.overdue() == 391


def test_then_by_the_speed_that_was_measured(clock: ManualClock, watchdog: Watchdog) -> None:
    first = watchdog.begin(1000)
    clock.now += 2
    watchdog.heard(first, cached=500)
    second = watchdog.begin(4000)
    assert watchdog.limit == pytest.approx(30 + SLACK * 4000 * 2 / 500)
    # What others say meanwhile tells nothing of the reading; nor do short and known prompts.
    clock.now += 1
    watchdog.heard(first)
    clock.now += 0.001
    watchdog.heard(second)
    watchdog.heard(watchdog.begin(15))
    watchdog.heard(watchdog.begin(1000), cached=1000)
    watchdog.begin(100)
    assert watchdog.limit == pytest.approx(30 + SLACK * 100 * 2 / 500)


def test_the_slowest_of_the_last_prompts_counts(clock: ManualClock, watchdog: Watchdog) -> None:
    for seconds in [10.0] + [1.0] * (MEASURED - 1):
        prefill = watchdog.begin(100)
        clock.now += seconds
        watchdog.heard(prefill)
        watchdog.end(prefill)
    prefill = watchdog.begin(100)
    assert watchdog.limit == pytest.approx(30 + SLACK * 10)
    clock.now += 1
    watchdog.heard(prefill)
    watchdog.begin(100)
    assert watchdog.limit == pytest.approx(30 + SLACK * 1)


def test_many_prompts_wait_no_longer_than_the_first_takes(watchdog: Watchdog) -> None:
    for _ in range(64):
        watchdog.begin(4000)
    assert watchdog.limit == pytest.approx(30 + (4000 + 2048) * 0.05)


def test_a_request_that_ends_unheard_is_read_no_more(watchdog: Watchdog) -> None:
    long, short = watchdog.begin(9000), watchdog.begin(10)
    watchdog.end(long)
    assert watchdog.limit == pytest.approx(30 + 10 * 0.05)
    watchdog.heard(short)
    watchdog.heard(short)
    assert (watchdog.limit, watchdog.working) == (30, 1)
