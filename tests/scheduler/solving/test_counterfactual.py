"""What another policy would have decided and answered, told from the chains that were served."""

from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.plan import Budget
from scheduler.errors import PolicyFailed
from scheduler.solving.controller import Controller
from scheduler.solving.counterfactual import Followed, ServedQuery, follow
from scheduler.solving.outcome import Outcome
from scheduler.solving.run import QueryRun
from tests.scheduler.simulation import make_controller, make_query
from workers.simulated.law import reference


class Keeping(Controller):
    """Keeps its runs."""

    runs: list[QueryRun] = []

    def _settle(self, run: QueryRun, outcome: Outcome) -> None:
        super()._settle(run, outcome)
        self.runs.append(run)


async def served(
    policy: str, question: str = "hard question 1", **options: Any
) -> tuple[ServedQuery, Outcome]:
    plain = await make_controller(policy=policy, **options)
    controller = Keeping(
        engine=plain.engine,
        info=plain.info,
        policy=plain.policy,
        curves=plain.curves,
        pricing=plain.pricing,
    )
    outcome = await controller.answer(make_query(question, reference=reference(question)))
    return ServedQuery.of(controller.runs[-1]), outcome


def would(candidate: str, query: ServedQuery, **options: Any) -> Followed:
    return follow(build(candidate, **options), query, Random(0))


async def test_fewer_votes_are_told_exactly_from_the_first_chains() -> None:
    query, outcome = await served("majority", samples=7)
    found = would("majority", query, samples=3)
    chains = [record.sample for record in outcome.records if record.sample.chain < 3]
    assert found.outcome is not None and not found.agrees and not found.is_served_course
    assert found.outcome.tokens.total == sum(sample.tokens for sample in chains)
    assert found.outcome.answer in {sample.answer for sample in chains}
    assert found.choice.samples == 3


async def test_the_same_policy_agrees_and_answers_the_same() -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        ("majority", {"samples": 5}),
        ("adaptive_consistency", {}),
        ("fixed", {"extensions": 2}),
    ]
    for name, options in ways:
        query, outcome = await served(name, **options)
        found = would(name, query, **options)
        assert found.agrees and found.is_served_course and found.outcome is not None
        again = found.outcome
        assert (again.answer, again.tokens.total) == (outcome.answer, outcome.tokens.total)
        assert again.correct == outcome.correct


async def test_what_the_chains_do_not_tell_is_not_guessed() -> None:
    query, outcome = await served("majority", samples=2)
    more = would("majority", query, samples=3)
    assert more.outcome is None and "fewer than the 3" in more.missing
    assert more.choice.samples == 3
    assert would("fixed", query).missing.startswith("the served chains are fewer")
    longest = max(record.sample.thinking_tokens for record in outcome.records)
    shortest = min(record.sample.thinking_tokens for record in outcome.records)
    above = would("majority", query, samples=2, max_thinking_tokens=longest)
    assert above.outcome is not None and above.outcome.answer == outcome.answer
    below = would("majority", query, samples=2, max_thinking_tokens=shortest - 1)
    assert below.outcome is None and "under a cap" in below.missing


async def test_a_cut_chain_is_known_under_its_own_cap_only() -> None:
    query, outcome = await served("fixed", max_thinking_tokens=20)
    same = would("fixed", query, max_thinking_tokens=20)
    assert same.outcome is not None and same.outcome.answer == outcome.answer
    assert would("fixed", query, max_thinking_tokens=40).outcome is None


async def test_trial_answers_tell_a_smaller_cap() -> None:
    query, _ = await served("priced", "medium question 7", max_samples=1, max_extensions=0)
    probes = query.records[0].probes
    assert probes
    cap = probes[0].thinking_tokens
    found = would("fixed", query, max_thinking_tokens=cap)
    assert found.outcome is not None and found.outcome.answer == probes[0].answer
    assert found.outcome.tokens.total < query.records[0].sample.tokens
    assert would("fixed", query, max_thinking_tokens=cap + 1).outcome is None


async def test_extensions_one_by_one_tell_fewer_of_them() -> None:
    query, outcome = await served("priced", max_samples=1)
    taken = max(record.sample.extensions for record in outcome.records)
    if query.records[0].temperature == 0:
        for extensions in range(taken + 1):
            found = would("fixed", query, extensions=extensions)
            assert found.outcome is not None


async def test_of_steered_chains_nothing_is_told() -> None:
    query, _ = await served("token_conditional", tokens=100)
    assert query.steered
    assert would("fixed", query).missing == "chains were steered"


async def test_a_forecast_is_read_from_the_curves() -> None:
    controller = await make_controller(policy="majority", samples=6)
    for number in range(30):
        text = f"medium question {number}"
        await controller.answer(make_query(text, id=str(number), reference=reference(text)))
    curve = controller.curves.curve("simulated", "default")
    query, _ = await served("majority", samples=6)
    assert would("majority", query, samples=2).forecast is None
    known = ServedQuery(
        **{name: getattr(query, name) for name in query.__slots__} | {"curve": curve}
    )
    forecast = would("majority", known, samples=2).forecast
    assert forecast is not None and curve is not None and curve.votes is not None
    assert forecast.accuracy == curve.votes.accuracy[1]


class Broken(Policy):
    @property
    def name(self) -> str:
        return "broken"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        raise ZeroDivisionError("no")


class Refuses(Policy):
    @property
    def name(self) -> str:
        return "refuses"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.votes:
            return Stop("settled")
        return Draw(1, Budget(100))


async def test_a_policy_that_fails_is_told_apart_from_chains_that_are_missing() -> None:
    query, _ = await served("majority", samples=3)
    with pytest.raises(PolicyFailed, match="ZeroDivisionError"):
        follow(Broken(), query, Random(0))
    assert follow(Refuses(), query, Random(0)).choice.samples == 1
