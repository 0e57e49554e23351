"""One chain, concluded where the tokens ahead are not worth it."""

import time
from dataclasses import dataclass, replace
from random import Random

import pytest

from policies.base import Conclude, Draw, Limits, Query, Situation, Stop
from policies.curves.exit_curve import ExitCurve, fit_exits
from policies.curves.exit_statistics import POSITIONS, ExitStatistics
from policies.plan import Forecast
from policies.priced_exit import COLD_RUNS, PricedExit
from policies.signals import Probe
from policies.tally import Tally, Vote
from tests.policies.exit_population import trajectory

PRICES = (1e-6, 1e-5, 1e-4)


@dataclass(frozen=True)
class Curve:
    exits: ExitCurve | None
    referenced_share: float = 0.0
    labelled: float = 2000.0


def learned(chains: int = 2000) -> Curve:
    rng, statistics = Random(0), ExitStatistics()
    for _ in range(chains):
        statistics.add(trajectory(rng))
    return Curve(fit_exits(statistics, prices=PRICES))


KNOWN = learned()
SETTLED = tuple(Probe(0, position, "7", 0.95) for position in POSITIONS[:9])
OPEN = tuple(Probe(0, p, str(n), 0.1) for n, p in enumerate(POSITIONS[:5]))


def situation(
    curve: Curve | None = KNOWN,
    probes: tuple[Probe, ...] = (),
    *,
    price: float = 1e-4,
    limits: Limits = Limits(),  # noqa: B008
    most: int = 100_000,
) -> Situation:
    query = Query("q", (), limits=limits)
    pending = 1 if probes else 0
    return Situation(query, Tally(), most, curve, price, pending=pending, probes=probes)  # type: ignore[arg-type]


def begun(policy: PricedExit, where: Situation, seed: int = 0) -> Draw:
    draw = policy.decide(where, Random(seed))
    assert isinstance(draw, Draw) and draw.plan is not None
    return draw


def test_first_queries_of_a_class_run_to_their_end_to_learn() -> None:
    for curve in (None, Curve(None), learned(COLD_RUNS - 1)):
        plan = begun(PricedExit(), situation(curve)).plan
        assert plan is not None and plan.is_exploration and plan.propensity == 1.0


def test_exploration_runs_become_fewer_and_say_how_likely_they_were() -> None:
    plans = [begun(PricedExit(), situation(), seed).plan for seed in range(2000)]
    exploration_runs = [plan for plan in plans if plan is not None and plan.is_exploration]
    assert exploration_runs
    assert len(exploration_runs) / 2000 == pytest.approx(exploration_runs[0].propensity, abs=0.015)
    assert exploration_runs[0].propensity < 0.08
    plan = begun(PricedExit(exploration=0.0), situation(None)).plan
    assert plan is not None and not plan.is_exploration


def test_exploration_runs_are_of_queries_that_bring_their_answer_where_some_do() -> None:
    some = replace(KNOWN, referenced_share=0.1)
    usual, known, unknown = (
        begun(PricedExit(), replace(situation(curve), query=Query("q", (), reference=answer))).plan
        for curve, answer in ((KNOWN, "7"), (some, "7"), (some, None))
    )
    assert (
        usual
        and known
        and unknown
        and not (usual.is_exploration or known.is_exploration or unknown.is_exploration)
    )
    assert 1 - known.propensity == pytest.approx(9 * (1 - usual.propensity))
    assert 1 - unknown.propensity == pytest.approx((1 - usual.propensity) / 9)


def test_trial_answers_are_asked_for_at_growing_distances_within_the_cap() -> None:
    draw = begun(PricedExit(max_thinking_tokens=300), situation())
    assert draw.final and draw.samples == 1 and draw.budget.max_thinking_tokens == 300
    assert draw.probing is not None and draw.probing.at == (64, 91, 128, 181, 256)
    assert begun(PricedExit(), situation(most=40)).probing is None


def test_a_settled_chain_is_concluded_and_an_open_one_goes_on() -> None:
    policy = PricedExit(exploration=0.0)
    assert policy.decide(situation(probes=SETTLED), Random(0)) == Conclude(0)
    assert isinstance(policy.decide(situation(probes=OPEN), Random(0)), Draw)


def test_an_exploration_run_is_never_concluded() -> None:
    policy = PricedExit(exploration=1.0)
    plan = begun(policy, situation(None)).plan
    asked = replace(situation(probes=SETTLED), plan=plan)
    assert isinstance(policy.decide(asked, Random(0)), Draw)


def test_a_worthy_query_thinks_on_where_others_are_concluded() -> None:
    policy = PricedExit(exploration=0.0)
    dear = [
        policy.decide(situation(probes=SETTLED[:n], price=1e-4), Random(0)) for n in range(1, 9)
    ]
    worthy = [
        policy.decide(
            situation(probes=SETTLED[:n], price=1e-4, limits=Limits(value=100.0)), Random(0)
        )
        for n in range(1, 9)
    ]
    first = [[isinstance(said, Conclude) for said in each] for each in (dear, worthy)]
    assert sum(first[0]) > sum(first[1])


def test_a_target_takes_the_cheapest_rule_that_surely_reaches_it() -> None:
    assert KNOWN.exits is not None
    forecasts = [rule.forecast for rule in KNOWN.exits.rules]
    cheapest = min(forecasts, key=lambda f: f.tokens)

    def taken(target: float, labels: float = 2000.0) -> Forecast | None:
        where = situation(replace(KNOWN, labelled=labels), limits=Limits(target_accuracy=target))
        plan = begun(PricedExit(exploration=0.0), where).plan
        return plan.forecast if plan else None

    assert taken(cheapest.accuracy - 0.002) == cheapest
    dearer = taken(cheapest.accuracy - 0.002, labels=10.0)
    assert dearer is not None and dearer.accuracy > cheapest.accuracy
    assert taken(1.0) == max(forecasts, key=lambda f: f.accuracy)


@pytest.mark.parametrize(
    ("cause", "reason"), [("early_exit", "not worth it"), ("natural", "plan done")]
)
def test_after_its_one_chain_it_stops(cause: str, reason: str) -> None:
    tally = Tally((Vote(0, "7", 90, 80, stop_cause=cause),))
    asked = Situation(Query("q", ()), tally, 1000)
    assert PricedExit().decide(asked, Random(0)) == Stop(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("price", 0.0),
        ("price", float("nan")),
        ("exploration", 1.5),
        ("probe_tokens", 0),
        ("temperature", float("inf")),
        ("answer_tokens", 0),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=option):
        PricedExit(**{option: value})  # type: ignore[arg-type]


def test_a_decision_takes_far_less_than_a_millisecond() -> None:
    policy, asked, rng = PricedExit(exploration=0.0), situation(probes=SETTLED), Random(0)
    policy.decide(asked, rng)
    taken = []
    for _ in range(300):
        start = time.process_time_ns()
        policy.decide(asked, rng)
        taken.append(time.process_time_ns() - start)
    assert sorted(taken)[150] < 100_000
