"""Statistics of a class add up, are kept, and become a snapshot with plans."""

import json
from dataclasses import asdict, replace
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import PRICE_LADDER, fit
from policies.curves.exit_statistics import POSITIONS
from policies.curves.extension_counts import ExtensionCounts
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Confidence, Probe
from policies.tally import Vote

BUDGET, LONG = Budget(400), Budget(4000)

greedy = st.lists(st.none() | st.sampled_from("abc"), min_size=1, max_size=8).map(
    lambda answers: tuple(
        Vote(0, given, 50 * (w + 1) + 4, 50 * (w + 1), w) for w, given in enumerate(answers)
    )
)
sampled = st.lists(st.none() | st.sampled_from("abc"), min_size=1, max_size=20).map(
    lambda answers: tuple(Vote(chain, given, 54, 50) for chain, given in enumerate(answers))
)
untried = st.builds(
    lambda chains, votes, is_greedy, labelled, is_exploration: Observation(
        "class",
        chains if is_greedy else votes,
        BUDGET,
        0.0 if is_greedy else None,
        Plan("extensions" if is_greedy else "votes", BUDGET, is_exploration=is_exploration),
        {"a": True, "b": False, "c": False} if labelled else {},
    ),
    greedy,
    sampled,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


def tried(answers: str, concluded: bool, labelled: bool) -> Observation:
    """A greedy chain that gave these answers, the last one in the end."""
    probes = tuple(Probe(0, POSITIONS[n], a, 0.5, "", 20) for n, a in enumerate(answers[:-1]))
    setting = ChainSetting("exit" if concluded else "extend", 1e-3, tried=True)
    plan = Plan(setting.kind, LONG, 0.0, is_exploration=not concluded, setting=setting)
    right = {"a": True, "b": False, "c": False} if labelled else {}
    vote = Vote(0, answers[-1], 2004, 2000, 0, "early_exit" if concluded else "natural")
    return Observation("class", (vote,), LONG, 0.0, plan, right, probes)


def votes_of(answers: str, count: int) -> list[Observation]:
    history = tuple(Vote(chain, given, 54, 50) for chain, given in enumerate(answers))
    return [Observation("class", history, BUDGET, None)] * count


observations = untried | st.builds(
    tried, st.text("abc", min_size=1, max_size=8), st.booleans(), st.booleans()
)


def seen(many: list[Observation]) -> ClassStatistics:
    statistics = ClassStatistics()
    for one in many:
        statistics.observe(one)
    return statistics


@settings(max_examples=50, deadline=None)
@given(st.lists(observations, max_size=6), st.lists(observations, max_size=6))
def test_merging_is_having_observed_everything(
    here: list[Observation], there: list[Observation]
) -> None:
    merged = seen(here)
    merged.merge(seen(there))
    assert merged == seen(here + there)


@settings(max_examples=50, deadline=None)
@given(st.lists(observations, max_size=6))
def test_statistics_survive_being_written_and_read(many: list[Observation]) -> None:
    statistics = seen(many)
    assert ClassStatistics.from_dict(json.loads(json.dumps(statistics.as_dict()))) == statistics


@settings(max_examples=20, deadline=None)
@given(st.lists(observations, max_size=6))
def test_whatever_was_observed_a_curve_can_be_fitted_and_written(many: list[Observation]) -> None:
    curve = fit(seen(many), parent=seen(many[:1]), price=1e-3)
    json.dumps(curve.as_dict())
    for point in curve.points():
        assert 0 <= point.low <= point.accuracy <= point.high <= 1
        assert point.tokens > 0


def test_a_concluded_chain_tells_of_exits_and_not_how_long_chains_are() -> None:
    statistics = seen([tried("aa", True, False)])
    assert statistics.plans.exits.queries == statistics.plans.queries == 1
    assert statistics.lengths.queries == statistics.plans.ends.queries == 0
    whole = seen([tried("aa", False, False)])
    assert (whole.lengths.queries, whole.plans.explored, whole.plans.exits.whole) == (1, 1, 1)


def test_greedy_chains_that_stand_alone_are_no_votes() -> None:
    greedy, sampled = (
        seen([Observation("class", (Vote(0, "a", 54, 50),), BUDGET, temperature)])
        for temperature in (0.0, None)
    )
    assert (greedy.plans.votes["length"].queries, greedy.plans.greedy.queries) == (0, 1)
    assert (sampled.plans.votes["length"].queries, sampled.plans.greedy.queries) == (1, 0)
    # As long as nothing else is known, they stand for votes.
    assert greedy.plans.votes_by("length") is greedy.plans.greedy
    assert fit(greedy, price=1e-3).plans is not None


def test_the_labels_of_a_tried_chain_are_those_of_its_query() -> None:
    known = seen([tried("abca", False, True)])
    exits, lengths = known.plans.exits, known.lengths
    assert (sum(exits.counts.right), sum(exits.counts.wrong)) == (1, 2)
    # A trial is what a chain would have said that is cut there.
    assert (sum(lengths.cut_right), sum(lengths.cut_wrong), sum(lengths.cut)) == (1, 2, 0)
    unlabelled = seen([tried("abca", False, False)]).plans.exits
    assert sum(unlabelled.counts.right + unlabelled.counts.wrong) == 0


def test_a_course_that_cannot_be_teaches_nothing() -> None:
    good = tried("aa", False, True)
    statistics = ClassStatistics()
    (vote,) = good.history
    with pytest.raises(ValueError, match="thinking_tokens must be at least 0 and at most 10"):
        statistics.observe(replace(good, history=(replace(vote, thinking_tokens=10),)))
    with pytest.raises(ValueError, match="probability must be at least 0 and at most 1, got 1.5"):
        statistics.observe(replace(good, probes=(good.probes[0]._replace(probability=1.5),)))
    assert statistics == ClassStatistics()


def test_a_curve_says_what_its_plans_give() -> None:
    curve = fit(seen([tried("aaa", False, True)] * 20), price=1e-3)
    assert curve.plans is not None and len(curve.plans.tables) == len(PRICE_LADDER)
    best = curve.as_dict()["plans"][0]
    assert best["name"] == "until more thinking does not pay"
    assert best["accuracy"] > 0.8 and best["tokens"] < 2000
    assert best["chains"] == pytest.approx(1)
    assert fit(ClassStatistics(), price=1e-3).as_dict()["plans"] == []


@pytest.mark.parametrize("chains", [1, 3])
def test_what_another_policy_served_teaches_plans_too(chains: int) -> None:
    history = tuple(Vote(number, "a", 54, 50) for number in range(chains))
    whole = seen([Observation("class", history, BUDGET, None, Plan("fixed", BUDGET))])
    assert whole.plans.votes["length"].queries == 1
    forced = tuple(replace(vote, extensions=2) for vote in history)
    told = seen([Observation("class", forced, BUDGET, None, Plan("fixed", BUDGET))])
    assert told.plans.queries == 0 and told.queries == 1


def test_statistics_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="version must be 8, got 6"):
        ClassStatistics.from_dict({**ClassStatistics().as_dict(), "version": 6})


def test_statistics_of_version_7_are_read_as_chains_of_one_kind() -> None:
    known = seen([tried("aa", False, True), *votes_of("aab", 3)])
    assert set(known.plans.as_dict()) >= {"exits", "ends", "votes", "greedy", "sampled"}
    old = known.as_dict()
    plans = old.pop("plans")
    parts = {
        "votes": plans["votes"]["length"],
        "exits": plans["exits"],
        "extensions": plans["ends"],
    }
    again = ClassStatistics.from_dict({**old, **parts, "version": 7, "joint": None})
    assert (again.queries, again.labelled) == (known.queries, known.labelled)
    assert again.plans.votes["length"] == known.plans.votes["length"]
    assert again.plans.exits == known.plans.exits and again.plans.ends == known.plans.ends
    joint = {name: rows for name, rows in plans.items() if name not in ("greedy", "sampled")}
    none: dict[str, Any] = {"votes": [], "exits": None, "extensions": asdict(ExtensionCounts())}
    kept = ClassStatistics.from_dict({**old, **none, "version": 7, "joint": joint})
    assert kept.plans.votes == known.plans.votes and kept.plans.explored == known.plans.explored


def test_rows_of_another_length_are_refused() -> None:
    stored = ClassStatistics().as_dict()
    stored["plans"]["ends"]["right"] = [0.0]
    with pytest.raises(ValueError, match="right must have"):
        ClassStatistics.from_dict(stored)


@pytest.mark.parametrize("field", ["tokens", "thinking_tokens", "extensions", "weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 10**12])
def test_an_absurd_ballot_is_refused_and_named_and_nothing_is_learned(
    field: str, value: float
) -> None:
    vote = replace(Vote(0, "a", 54, 50), **cast(Any, {field: value}))
    for temperature in (0.0, None):
        statistics = ClassStatistics()
        with pytest.raises(ValueError, match=f"^{field} must be in"):
            statistics.observe(Observation("class", (vote,), BUDGET, temperature))
        assert statistics == ClassStatistics()


@pytest.mark.parametrize("field", ["tail", "answer"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e200])
def test_an_absurd_confidence_is_refused_and_named_and_nothing_is_learned(
    field: str, value: float
) -> None:
    confidence = Confidence(tail=0.5, answer=0.5)._replace(**{field: value})
    vote = Vote(0, "a", 54, 50, confidence=confidence)
    statistics = ClassStatistics()
    with pytest.raises(ValueError, match=f"^{field} must be at least"):
        statistics.observe(Observation("class", (vote,), BUDGET, None))
    assert statistics == ClassStatistics()


def test_the_price_of_a_round_is_checked() -> None:
    with pytest.raises(ValueError, match="round_tokens must be finite and >= 0, got -1"):
        fit(ClassStatistics(), price=1e-3, round_tokens=-1)


def test_scaling_down_twice_is_scaling_down_once_by_both() -> None:
    chain = Observation("class", (Vote(0, "a", 54, 50),), BUDGET, 0.0, right={"a": True})
    twice, once = seen([chain] * 4), seen([chain])
    twice.scale(0.5)
    twice.scale(0.5)
    assert twice == once


def test_a_factor_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"factor must be in \[0, 1\], got 2"):
        ClassStatistics().scale(2)


def test_a_cut_chain_tells_of_its_cap_and_nothing_of_waits() -> None:
    statistics = seen([Observation("class", (Vote(0, "a", 404, 400),), BUDGET, 0.0)])
    assert sum(statistics.lengths.cut) == 1
    assert statistics.plans.queries == 0


def test_a_class_without_queries_looks_like_its_parent() -> None:
    rng, chains = Random(1), []
    for _ in range(50):
        right = rng.random() < 0.9
        vote = Vote(0, "a" if right else "b", 54, 50)
        chains.append(
            Observation(
                "other",
                (vote, replace(vote, extensions=1, tokens=108)),
                BUDGET,
                0.0,
                right={"a": True, "b": False},
            )
        )
    parent = seen(chains)
    curve, pooled = fit(ClassStatistics(), parent=parent, price=1e-3), fit(parent, price=1e-3)
    assert curve.queries == 0
    assert curve.extension is not None and pooled.extension is not None
    assert curve.extension.accuracy[0] == pytest.approx(pooled.extension.accuracy[0], abs=0.1)


def test_the_plan_table_is_that_of_the_nearest_price() -> None:
    curve = fit(seen([tried("aaa", False, True)]), price=1e-3)
    assert curve.plan_table(1.1e-3).price == pytest.approx(1e-3)
    assert curve.plan_table(1.9e-3).price == pytest.approx(2e-3)
    assert curve.plan_table(1.0).price == pytest.approx(8e-3)


@pytest.mark.parametrize("price", [0.0, -1.0, 1.0])
def test_a_price_must_be_a_small_positive_number(price: float) -> None:
    with pytest.raises(ValueError, match="price must be"):
        fit(ClassStatistics(), price=price)
