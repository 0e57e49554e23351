"""What a round may cost, what is shown of it, and at which temperature it is sampled."""

from contextlib import aclosing
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import build
from policies.base import Conclude, Draw, Extend, Limits, Policy, Query, Stop
from policies.plan import Budget, Forecast, Plan
from policies.signals import Confidence, Probe, Probing, Signals
from scheduler.solving.ledger import Ledger
from scheduler.solving.run import QueryRun
from scheduler.solving.token_limits import DELIMITER_TOKENS
from tests.scheduler.simulation import make_query, make_run
from workers.sample import Accepted, Delta, Sample, lost
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import LAWS

BUDGET = Budget(100, answer_tokens=60)
WORST = 100 + 60 + DELIMITER_TOKENS
POLICIES = st.one_of(
    st.builds(
        lambda most, extensions: build("fixed", max_thinking_tokens=most, extensions=extensions),
        st.none() | st.integers(1, 300),
        st.integers(0, 4),
    ),
    st.builds(
        lambda every, agree: build("dynasor", probe_every=every, agree=agree),
        st.integers(1, 80),
        st.integers(1, 4),
    ),
    st.builds(lambda extensions: build("deer", extensions=extensions), st.integers(0, 3)),
    st.builds(lambda samples: build("deepconf", samples=samples), st.integers(1, 12)),
    st.builds(lambda most: build("deepconf_online", warmup=most, samples=12), st.integers(1, 12)),
    st.builds(
        lambda most, size: build(
            "rejection_sampling", max_thinking_tokens=most, samples_per_round=size
        ),
        st.none() | st.integers(0, 300),
        st.integers(1, 8),
    ),
    st.builds(
        lambda tokens: build("token_conditional", tokens=tokens, forced=True), st.integers(1, 300)
    ),
    st.builds(
        lambda samples, most: build("majority", samples=samples, max_thinking_tokens=most),
        st.integers(1, 12),
        st.none() | st.integers(0, 300),
    ),
    st.builds(
        lambda size: build("adaptive_consistency", samples_per_round=size), st.integers(1, 10)
    ),
    st.builds(lambda tokens: build("priced", answer_tokens=tokens), st.integers(1, 200)),
)


def run_of(query: Query | None = None, limit: int | None = None) -> QueryRun:
    return QueryRun(query or make_query(), Ledger().open(limit), room=4096)


def test_what_does_not_fit_loses_chains_first() -> None:
    run = run_of(limit=3 * WORST + 50)
    assert run.dispatch(Draw(8, BUDGET), stream=False)
    assert run.request.chains == (0, 1, 2)
    assert run.request.budget.max_thinking_tokens == 100
    assert run.account.reserved == 3 * WORST


def test_a_round_tells_what_it_will_likely_take() -> None:
    run = run_of()
    assert run.dispatch(Draw(2, BUDGET), stream=False)
    assert run.request.expected_tokens == 2 * WORST
    run = run_of()
    unbounded = Budget.within(None, answer_tokens=60)
    assert run.dispatch(Draw(1, unbounded), stream=False)
    assert run.request.expected_tokens == 4096 + 60 + DELIMITER_TOKENS
    run = run_of()
    plan = Plan("two votes", BUDGET, forecast=Forecast(0.9, 150.5))
    assert run.dispatch(Draw(2, BUDGET, plan=plan), stream=False)
    assert run.request.expected_tokens == 151
    run.take(Sample(0, "", "7", "7", "natural", 90, 10, generated_tokens=100))
    run.take(Sample(1, "", "7", "7", "natural", 90, 10, generated_tokens=100))
    run.settle()
    assert run.dispatch(Draw(1, BUDGET), stream=False)
    assert run.request.expected_tokens == 100  # past the forecast: as before


def test_then_it_loses_thinking() -> None:
    run = run_of(limit=WORST - 40)
    assert run.dispatch(Draw(8, Budget(100, 80, answer_tokens=60)), stream=False)
    budget = run.request.budget
    assert run.request.chains == (0,)
    assert budget.min_thinking_tokens <= budget.max_thinking_tokens < 100
    assert budget.answer_tokens >= 16
    assert run.account.reserved == WORST - 40


@given(
    limit=st.integers(1, 3000),
    samples=st.integers(1, 20),
    thinking=st.integers(0, 1000),
    answer=st.integers(1, 600),
    extensions=st.integers(0, 10),
)
def test_no_part_of_a_budget_is_made_larger(
    limit: int, samples: int, thinking: int, answer: int, extensions: int
) -> None:
    extensions = extensions if thinking else 0
    run, asked = run_of(limit=limit), Budget(thinking, thinking // 2, extensions, None, answer)
    if not run.dispatch(Draw(samples, asked), stream=False):
        assert run.account.reserved == 0
        assert limit < DELIMITER_TOKENS + 2 * extensions + 16
        return
    budget = run.request.budget
    assert len(run.request.chains) <= samples
    assert budget.max_thinking_tokens <= asked.max_thinking_tokens
    assert budget.min_thinking_tokens <= asked.min_thinking_tokens
    assert budget.answer_tokens <= asked.answer_tokens
    assert budget.extensions == (asked.extensions if budget.max_thinking_tokens else 0)
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
    assert run.request.parents == (run.samples[0],)
    assert run.request.budget.extensions == 1
    assert run.account.reserved == 30 + 60 + DELIMITER_TOKENS + 2


def test_an_extension_that_cannot_add_a_token_is_refused() -> None:
    run = run_of(limit=WORST)
    run.dispatch(Draw(1, BUDGET, 0.0), stream=False)
    run.take(Sample(0, "", "7", "7", "natural", 100, 60, generated_tokens=160))
    run.settle()
    assert not run.dispatch(Extend(0, 1, Budget(500), 0.0), stream=False)
    assert run.account.reserved == 0


async def _drive(run: QueryRun, policy: Policy, engine: SimulatedEngine) -> None:
    """As `solve` does, but looks at the books after every round."""
    rng = Random(0)
    while not isinstance(decision := policy.decide(run.situation(), rng), Stop):
        if not run.dispatch(decision, stream=False):
            break
        reserved, spent = run.account.reserved, run.account.spent
        async with aclosing(engine.sample(run.request)) as events:
            async for event in events:
                if isinstance(event, Probe | Sample):
                    run.take(event)
                    await _steer(run, policy, engine)
        run.settle()
        assert run.account.reserved == 0
        assert run.account.spent - spent <= reserved


async def _steer(run: QueryRun, policy: Policy, engine: SimulatedEngine) -> None:
    """Conclude what the policy concludes; nothing is cancelled, so that every round ends itself."""
    while run.pending:
        decision = policy.decide(run.situation(), Random(0))
        if not isinstance(decision, Conclude) or not run.conclude(decision.chain):
            return
        await engine.conclude(run.query.id, decision.chain)


@settings(max_examples=80, deadline=None)
@given(
    limit=st.none() | st.integers(1, 4000),
    policy=POLICIES,
    law=st.sampled_from(list(LAWS)),
    number=st.integers(0, 50),
)
def test_no_round_spends_more_than_it_reserved(
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
    assert run.request.sampling.temperature == sampled


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
    assert [vote.chain for vote in run.tally.votes] == [0]
    assert run.tokens == run.account.spent == 56
    assert run.samples.keys() == {0}


PROBING = Probing(every=10, answer_tokens=4)


def trial(chain: int, at: int, answer: str | None = "7") -> Probe:
    return Probe(chain, at, answer, 0.9, f"Final Answer: {answer}", 5)


def test_a_draw_reaches_the_engine_whole() -> None:
    run = run_of()
    budget = Budget(100, answer_when_cut=False)
    run.dispatch(
        Draw(2, budget, suffix=" Hurry.", probing=PROBING, signals=Signals(5, 9, 1.5)),
        stream=False,
    )
    asked = run.request
    assert asked.suffix == " Hurry."
    assert asked.probing == Probing(every=10, answer_tokens=4)
    assert asked.signals == Signals(5, 9, 1.5)
    assert not asked.budget.answer_when_cut


def test_trial_answers_of_chains_that_think_are_seen_in_order() -> None:
    run = run_of()
    run.dispatch(Draw(3, BUDGET, probing=PROBING), stream=False)
    for event in (trial(1, 20), trial(0, 10), trial(1, 10, None), trial(2, 10)):
        run.take(event)
    seen = [(probe.chain, probe.thinking_tokens) for probe in run.situation().probes]
    assert seen == [(0, 10), (1, 10), (1, 20), (2, 10)]
    assert run.conclude(1)
    run.take(Sample(2, "", "7", "7", "natural", 30, 6, generated_tokens=36, probe_tokens=5))
    assert [probe.chain for probe in run.situation().probes] == [0]
    assert not run.conclude(1) and not run.conclude(2) and not run.conclude(9)
    assert run.records[0].probes == (trial(2, 10),)


def test_nothing_can_be_concluded_while_nothing_runs() -> None:
    with pytest.raises(ValueError, match="chain 3 cannot be concluded"):
        run_of().dispatch(Conclude(3), stream=False)


@pytest.mark.parametrize("cause", ["rejected", "unsure", "deadline"])
def test_a_try_without_an_answer_is_on_record_and_does_not_vote(cause: Any) -> None:
    run = run_of()
    run.dispatch(Draw(1, BUDGET), stream=False)
    sure = Confidence(3.0, 1.0, 2.0, None)
    run.take(Sample(0, "", "7", "7", cause, 30, generated_tokens=30, confidence=sure))
    (vote,) = run.tally.history
    assert (vote.answer, vote.stop_cause, vote.tokens) == (None, cause, 30)
    assert vote.confidence == Confidence(3.0, 1.0, 2.0, None)
    assert run.samples == {}


STEERING: list[tuple[Draw, bool]] = [
    (Draw(1, BUDGET), False),
    (Draw(1, BUDGET, probing=PROBING, signals=Signals()), False),
    (Draw(1, BUDGET, suffix=" Hurry."), True),
    (Draw(1, Budget(9, answer_when_cut=False)), True),
    (Draw(1, Budget(9, extensions=1, extension_text="Hmm")), True),
    (Draw(1, Budget(9, harness_compat=True)), True),
    (Draw(1, BUDGET, signals=Signals(end_below=1.0)), True),
]


@pytest.mark.parametrize(("draw", "steered"), STEERING)
def test_chains_that_were_bent_are_known(draw: Draw, steered: bool) -> None:
    run = run_of()
    run.dispatch(draw, stream=False)
    assert run.steered is steered
    run.conclude(0)
    assert run.steered
