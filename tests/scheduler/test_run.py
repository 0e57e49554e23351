"""What a wave may cost, what is shown of it, and at which temperature it is sampled."""

from contextlib import aclosing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import build
from policies.base import Draw, Extend, Limits, Policy, Query, Stop
from policies.plan import Budget
from scheduler.ledger import Ledger
from scheduler.run import DELIMITER_TOKENS, Run
from tests.scheduler.simulation import make_query, make_run
from workers.clock import run_virtual
from workers.sample import Accepted, Delta, Sample, lost
from workers.simulated import LAWS, SimulatedEngine

BUDGET = Budget(100, answer_tokens=60)
WORST = 100 + 60 + DELIMITER_TOKENS
POLICIES = st.one_of(
    st.builds(
        lambda most, waits: build("fixed", max_thinking_tokens=most, extensions=waits),
        st.none() | st.integers(0, 300),
        st.integers(0, 4),
    ),
    st.builds(
        lambda samples, most: build("majority", samples=samples, max_thinking_tokens=most),
        st.integers(1, 12),
        st.none() | st.integers(0, 300),
    ),
    st.builds(lambda wave: build("adaptive_consistency", wave=wave), st.integers(1, 10)),
    st.builds(lambda tokens: build("priced", answer_tokens=tokens), st.integers(1, 200)),
)


def run_of(query: Query | None = None, limit: int | None = None) -> Run:
    return Run(query or make_query(), Ledger().open(limit), max_thinking_tokens=4096)


def test_what_does_not_fit_loses_chains_first() -> None:
    run = run_of(limit=3 * WORST + 50)
    assert run.dispatch(Draw(8, BUDGET), stream=False)
    assert run.request.chains == (0, 1, 2)
    assert run.request.forcing.max_thinking_tokens == 100
    assert run.account.reserved == 3 * WORST


def test_then_it_loses_thinking() -> None:
    run = run_of(limit=WORST - 40)
    assert run.dispatch(Draw(8, Budget(100, 80, answer_tokens=60)), stream=False)
    forcing = run.request.forcing
    assert run.request.chains == (0,)
    assert forcing.min_thinking_tokens <= forcing.max_thinking_tokens < 100
    assert forcing.answer_tokens >= 16
    assert run.account.reserved == WORST - 40


@given(
    limit=st.integers(1, 3000),
    samples=st.integers(1, 20),
    thinking=st.integers(0, 1000),
    answer=st.integers(1, 600),
    waits=st.integers(0, 10),
)
def test_no_part_of_a_budget_is_made_larger(
    limit: int, samples: int, thinking: int, answer: int, waits: int
) -> None:
    run, asked = run_of(limit=limit), Budget(thinking, thinking // 2, waits, None, answer)
    if not run.dispatch(Draw(samples, asked), stream=False):
        assert run.account.reserved == 0
        assert limit < DELIMITER_TOKENS + 2 * waits + 16
        return
    forcing = run.request.forcing
    assert len(run.request.chains) <= samples
    assert forcing.max_thinking_tokens <= asked.max_thinking_tokens
    assert forcing.min_thinking_tokens <= asked.min_thinking_tokens
    assert forcing.answer_tokens <= asked.answer_tokens
    assert forcing.extensions == asked.extensions
    assert run.account.reserved <= limit


def test_nothing_is_dispatched_where_no_answer_fits() -> None:
    run = run_of(limit=DELIMITER_TOKENS + 15)
    assert not run.dispatch(Draw(8, BUDGET), stream=False)
    assert run.account.reserved == 0
    assert run.pending == set()


def test_a_query_has_no_more_chains_than_the_bound() -> None:
    run = run_of()
    assert run.dispatch(Draw(1000, BUDGET), stream=False)
    for chain in range(1000):
        run.take(lost(chain))
    run.settle()
    assert run.dispatch(Draw(1000, BUDGET), stream=False)
    assert run.request.chains == tuple(range(1000, 1024))
    for chain in run.request.chains:
        run.take(lost(chain))
    run.settle()
    assert not run.dispatch(Draw(1, BUDGET), stream=False)


def test_an_extension_reserves_only_what_the_chain_may_add() -> None:
    run = run_of(limit=1000)
    run.dispatch(Draw(1, BUDGET, 0.0), stream=False)
    run.take(Sample(0, "", "7", "7", "natural", 70, 6, generated_tokens=76))
    run.settle()
    assert run.dispatch(Extend(0, 1, BUDGET, 0.0), stream=False)
    assert run.request.resume == run.samples[0]
    assert run.request.forcing.extensions == 1
    assert run.account.reserved == 30 + 60 + DELIMITER_TOKENS + 2


def test_an_extension_that_cannot_add_a_token_is_refused() -> None:
    run = run_of(limit=WORST)
    run.dispatch(Draw(1, BUDGET, 0.0), stream=False)
    run.take(Sample(0, "", "7", "7", "natural", 100, 60, generated_tokens=160))
    run.settle()
    assert not run.dispatch(Extend(0, 1, Budget(500), 0.0), stream=False)
    assert run.account.reserved == 0


async def _drive(run: Run, policy: Policy, engine: SimulatedEngine) -> None:
    """As `solve` does, but looks at the books after every wave."""
    rng = Random(0)
    while not isinstance(decision := policy.decide(run.situation(), rng), Stop):
        if not run.dispatch(decision, stream=False):
            break
        reserved, spent = run.account.reserved, run.account.spent
        async with aclosing(engine.sample(run.request)) as events:
            async for event in events:
                if isinstance(event, Sample):
                    run.take(event)
        run.settle()
        assert run.account.reserved == 0
        assert run.account.spent - spent <= reserved


@settings(max_examples=60, deadline=None)
@given(
    limit=st.none() | st.integers(1, 4000),
    policy=POLICIES,
    law=st.sampled_from(list(LAWS)),
    number=st.integers(0, 50),
)
def test_no_wave_spends_more_than_it_reserved(
    limit: int | None, policy: Policy, law: str, number: int
) -> None:
    async def main() -> None:
        run = make_run(f"{law} question {number}", limits=Limits(max_total_tokens=limit))
        await _drive(run, policy, SimulatedEngine())
        assert limit is None or run.account.spent <= limit
        assert run.account.spent == run.tokens

    run_virtual(main())


@pytest.mark.parametrize(
    ("wish", "planned", "sampled"),
    [
        (None, None, None),
        (None, 0.0, 0.0),
        (0.7, None, 0.7),
        (0.7, 0.0, 0.7),
        (0.0, 0.0, 0.0),
        (0.0, None, None),
        (0.0, 0.6, 0.6),
    ],
)
def test_the_caller_sets_the_temperature_unless_all_votes_would_be_the_same(
    wish: float | None, planned: float | None, sampled: float | None
) -> None:
    run = run_of(make_query(temperature=wish))
    run.dispatch(Draw(2, BUDGET, planned), stream=False)
    assert run.request.temperature == sampled


@pytest.mark.parametrize("final", [True, False])
def test_thinking_is_shown_and_an_answer_only_of_a_final_chain(final: bool) -> None:
    run = run_of()
    run.dispatch(Draw(1, BUDGET, final=final), stream=True)
    assert run.request.stream == 0
    assert run.shows(Accepted(12))
    assert not run.shows(Accepted(12))
    assert run.prompt_tokens == 12
    assert run.shows(Delta(0, "thinking", "hm", 1))
    assert run.shows(Delta(0, "answer", "7", 1)) is final


def test_nothing_is_streamed_that_nobody_watches() -> None:
    run = run_of()
    run.dispatch(Draw(1, BUDGET, final=True), stream=False)
    assert run.request.stream is None


def test_a_lost_chain_costs_but_casts_no_ballot() -> None:
    run = run_of()
    run.dispatch(Draw(2, BUDGET), stream=False)
    run.take(Sample(1, "", "", None, "lost", generated_tokens=20, complete=False))
    run.take(Sample(0, "", "7", "7", "natural", 30, 6, generated_tokens=36))
    run.settle()
    assert [ballot.chain for ballot in run.tally.ballots] == [0]
    assert run.tokens == run.account.spent == 56
    assert run.samples.keys() == {0}
