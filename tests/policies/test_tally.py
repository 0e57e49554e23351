"""Votes are counted by the last word of every chain."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.tally import Tally, Vote, VoteStanding

answers = st.none() | st.sampled_from("abcd")
histories = st.lists(st.tuples(st.integers(0, 5), answers), max_size=12).map(
    lambda cast: tuple(
        Vote(chain, answer, tokens=10 + position, thinking_tokens=5)
        for position, (chain, answer) in enumerate(cast)
    )
)


@given(histories)
def test_standing_counts_every_voting_ballot_once(history: tuple[Vote, ...]) -> None:
    tally = Tally(history)
    assert sum(tally.standing) == len(tally.voting)
    assert tally.standing.leader >= tally.standing.runner_up


@given(histories)
def test_one_more_vote_for_the_leader_never_lowers_its_lead(
    history: tuple[Vote, ...],
) -> None:
    tally = Tally(history)
    more = tally.add(Vote(99, tally.leader, tokens=1, thinking_tokens=1))
    if tally.leader is not None:
        assert more.leader == tally.leader
        assert more.standing.leader == tally.standing.leader + 1
        assert more.standing.runner_up == tally.standing.runner_up
        assert more.agreement >= tally.agreement


@given(histories)
def test_agreement_is_a_share(history: tuple[Vote, ...]) -> None:
    tally = Tally(history)
    assert 0 <= tally.agreement <= 1
    assert (tally.agreement == 0) == (tally.leader is None)


@given(histories)
def test_an_extended_chain_votes_once_and_its_tokens_count_once(
    history: tuple[Vote, ...],
) -> None:
    tally = Tally(history)
    last = {vote.chain: vote for vote in history}
    assert len(tally.votes) == len(last)
    assert tally.tokens == sum(vote.tokens for vote in last.values())


def test_on_a_tie_the_answer_that_came_first_leads() -> None:
    vote = Vote(0, "b", 1, 1)
    tally = Tally((vote, replace(vote, chain=1, answer="a")))
    assert tally.leader == "b"
    assert tally.standing == VoteStanding(1, 1, 0)


def test_weights_count_for_the_leader_and_not_for_the_standing() -> None:
    light = Vote(0, "a", 1, 1, weight=0.2)
    tally = Tally((light, replace(light, chain=1), Vote(2, "b", 1, 1)))
    assert tally.leader == "b"
    assert tally.standing == VoteStanding(2, 1, 0)


def test_nothing_leads_an_empty_tally() -> None:
    assert Tally().leader is None
    assert Tally().standing == VoteStanding(0, 0, 0)
