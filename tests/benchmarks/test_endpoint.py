"""The endpoint is compared with the other servers' fast mode only."""

from benchmarks.endpoint import BARE, GOAL_STREAMS, GOALS, OURS, RAY, EndpointBenchmark, servers
from benchmarks.serving.endpoint_rows import EndpointLoad, Measurement
from benchmarks.serving.load import Timing
from benchmarks.serving.server_modes import distribution, modes

ONE_STREAM = 250.0
SLOW, FAST = 1000.0, 2500.0


def benchmark(bare: list[float], ours: list[float], *, others: float = 0.0) -> EndpointBenchmark:
    """Every load measured once a round; `bare` and `ours` are rates with 64 streams."""
    made = EndpointBenchmark(servers(None, ray=False), {1: 1, GOAL_STREAMS: 1})
    for kind in GOALS:
        for theirs, mine in zip(bare, ours, strict=True):
            for streams, rates in ((1, (ONE_STREAM, 200.0)), (GOAL_STREAMS, (theirs, mine))):
                row = made.rows[EndpointLoad(kind, streams)]
                for name, rate in zip((BARE, OURS), rates, strict=True):
                    row.add(name, Measurement(Timing(rate, 64 / rate), others, 1.0))
    return made


def test_a_server_has_two_modes_by_its_own_rate_with_one_stream() -> None:
    assert modes([SLOW, FAST, 2200.0], ONE_STREAM) == ["slow", "fast", "fast"]


def test_a_server_that_was_always_slow_is_not_taken_for_a_fast_one() -> None:
    assert modes([SLOW, 900.0, 1050.0], ONE_STREAM) == ["slow"] * 3


def test_a_rate_far_below_the_best_is_slow_however_slow_one_stream_was() -> None:
    assert modes([SLOW, FAST], 50.0) == ["slow", "fast"]


def test_a_distribution_tells_how_often_each_mode_was_seen() -> None:
    told = distribution([SLOW, FAST, 2200.0], ["slow", "fast", "fast"])
    assert told == "fast mode 2 of 3 (2200 to 2500 tok/s), slow mode 1 of 3 (1000 to 1000 tok/s)"


def test_goals_leave_out_rounds_in_which_the_bare_server_was_slow() -> None:
    made = benchmark([SLOW, FAST, FAST], [2000.0, 2250.0, 2000.0])
    goals = made.goals()
    assert [goal["value"] for goal in goals.values()] == [0.85, 0.85]
    assert all(goal["met"] for goal in goals.values())
    assert not made.without_fast_mode()


def test_without_the_fast_mode_a_goal_has_no_value_and_is_missed() -> None:
    made = benchmark([SLOW, SLOW], [2000.0, 2000.0])
    assert made.without_fast_mode() == [EndpointLoad(kind, GOAL_STREAMS) for kind in GOALS]
    for goal in made.goals().values():
        assert goal["value"] is None and not goal["met"]
        assert "no quiet round in its fast mode" in goal["reason"]
    assert sum("no quiet round in its fast mode" in line for line in made.lines()) == len(GOALS)


def test_what_was_measured_on_a_busy_machine_has_no_goal() -> None:
    quiet, busy = (benchmark([FAST], [2000.0], others=others) for others in (0.1, 0.5))
    assert not any("left out of goals" in line for line in quiet.lines())
    assert sum("left out of goals" in line for line in busy.lines()) == 2 * len(GOALS)
    assert all(goal["value"] == 0.8 for goal in quiet.goals().values())
    assert all(goal["value"] is None and not goal["met"] for goal in busy.goals().values())


def test_rays_server_is_measured_unless_it_is_left_out() -> None:
    assert RAY in servers(None, ray=True) and RAY not in servers(None, ray=False)
