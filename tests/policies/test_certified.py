"""A certificate is wrong more rarely than it says, whatever the answers and whenever one looks."""

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import Draw, Message, Query, Situation, Stop
from policies.certified import Certified, log_evidence
from policies.tally import Tally, Vote

QUERY = Query("q", (Message("user", "?"),))


def situation(answers: Sequence[str | None], *, pending: int = 0) -> Situation:
    votes = tuple(Vote(chain, answer, 50, 44) for chain, answer in enumerate(answers))
    return Situation(QUERY, Tally(votes), 1000, pending=pending)


def ends(policy: Certified, shares: list[float], rng: Random) -> tuple[str, int]:
    """Why and after how many votes it stops, where answer k comes with the k-th share."""
    answers: list[str | None] = []
    while True:
        decision = policy.decide(situation(answers), rng)
        if isinstance(decision, Stop):
            leader = situation(answers).tally.leader
            right = leader is not None and shares[int(leader)] >= max(shares) - 1e-9
            reason = decision.reason
            return ("wrong" if reason == "certified" and not right else reason, len(answers))
        assert isinstance(decision, Draw)
        drawn = rng.choices(range(len(shares)), shares, k=decision.samples)
        answers += [str(answer) for answer in drawn]


@pytest.mark.slow
@pytest.mark.parametrize(
    "shares",
    [
        [0.5, 0.499],
        [0.34, 0.33, 0.33],
        [0.3, 0.29] + [0.41 / 20] * 20,
        [0.45, 0.55],
        [0.4, 0.35, 0.25],
    ],
)
def test_its_error_rate_stays_under_delta(shares: list[float]) -> None:
    delta, runs, rng = 0.1, 300, Random(5)
    policy = Certified(delta=delta, max_samples=80)
    wrong = sum(ends(policy, shares, rng)[0] == "wrong" for _ in range(runs))
    assert wrong / runs <= delta


def test_a_clear_mode_is_certified_after_some_votes() -> None:
    rng = Random(6)
    runs = [ends(Certified(), [0.9, 0.1], rng) for _ in range(100)]
    assert sum(reason == "certified" for reason, _ in runs) >= 95
    assert 8 <= sum(votes for _, votes in runs) / len(runs) <= 20


def test_what_cannot_be_certified_is_said_to_be_so() -> None:
    reasons = [ends(Certified(max_samples=20), [0.34, 0.33, 0.33], Random(n)) for n in range(20)]
    assert reasons.count(("not certified", 20)) >= 18


@given(st.integers(0, 200), st.integers(0, 200))
def test_evidence_grows_with_wins_and_shrinks_with_losses(won: int, lost: int) -> None:
    assert log_evidence(won + 1, lost) > log_evidence(won, lost) > log_evidence(won, lost + 1)


@given(st.integers(0, 60), st.integers(0, 60))
def test_evidence_does_not_grow_on_average_where_wins_and_losses_are_even(
    won: int, lost: int
) -> None:
    up, down = math.exp(log_evidence(won + 1, lost)), math.exp(log_evidence(won, lost + 1))
    assert (up + down) / 2 <= math.exp(log_evidence(won, lost)) * (1 + 1e-9)


def test_evidence_begins_at_one() -> None:
    assert log_evidence(0, 0) == pytest.approx(0.0)


def test_the_first_vote_of_an_answer_is_no_evidence_for_it() -> None:
    needed = next(n for n in range(1, 50) if log_evidence(n, 0) >= math.log(2 / 0.05))
    policy = Certified()
    assert policy.decide(situation(["7"] * needed), Random(0)) != Stop("certified")
    assert policy.decide(situation(["7"] * (needed + 1)), Random(0)) == Stop("certified")


def test_a_later_answer_needs_more_evidence() -> None:
    policy = Certified()
    votes = next(n for n in range(2, 50) if policy.certified(situation(["7"] * n)))
    assert policy.certified(situation(["8"] + ["7"] * votes)) is None
    assert policy.certified(situation(["8"] + ["7"] * (votes + 10))) == "7"


def test_chains_that_are_out_hold_up_those_asked_for_after_them() -> None:
    full = situation(["7"] * 20)
    missing_first = Situation(QUERY, Tally(full.tally.history[1:]), 1000, pending=1)
    policy = Certified()
    assert policy.certified(missing_first) is None
    assert policy.certified(Situation(QUERY, missing_first.tally, 1000)) == "7"


def test_chains_without_an_answer_do_not_vote() -> None:
    policy = Certified()
    assert policy.certified(situation([None] * 20)) is None
    assert policy.certified(situation([None, "7"] * 20)) == "7"


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, float("nan")])
def test_delta_must_be_a_chance(delta: float) -> None:
    with pytest.raises(ValueError, match=f"delta .*{delta}"):
        Certified(delta=delta)
