"""A chain that goes on from a checkpoint is the chain that was never interrupted."""

import asyncio
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from policies.sampling import SamplingParams
from policies.signals import Probe, Probing
from tests.builders import changed
from tests.workers.forcing.test_chain_properties import (
    PROMPT,
    Model,
    allowances,
    formats,
    models,
    of_phase,
    run,
)
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.engine import SampleRequest
from workers.forcing.chain import Chain, Segment
from workers.forcing.checkpoint import Checkpoint, restore, snapshot
from workers.forcing.harness import chain_for
from workers.format import S1, S1_STEPS, ThinkingFormat, TokenFormat, bind
from workers.models import POCKET_FOLDER
from workers.sample import Accepted, ChainProgress, Delta, Sample
from workers.simulated.clock import run_virtual
from workers.simulated.toy_core import ToyCore

SECONDS_PER_TOKEN = 0.01


def interrupted(chain: Chain, model: Model, pieces: int) -> tuple[Checkpoint | None, int, int]:
    """The last checkpoint of a chain that dies after so many pieces, and what was shown by then.

    Segments that no checkpoint covers are not shown, as a gateway would have it.
    """
    last, shown = None, [*chain.opening()]
    sure: list[Segment] = []
    while call := chain.next_call():
        for tokens, finish in model.pieces(chain.prompt(PROMPT), call):
            if (at := snapshot(chain)) is not None:
                last, sure = at, [*shown]
            if (pieces := pieces - 1) < 0:
                return last, len(of_phase(sure, "thinking")), len(of_phase(sure, "answer"))
            shown += chain.feed(tokens, finish)
    return last, len(of_phase(sure, "thinking")), len(of_phase(sure, "answer"))


def outcome(chain: Chain) -> tuple[object, ...]:
    assert chain.violations() == ()
    return (
        chain.thinking,
        chain.closing,
        chain.answer,
        chain.extensions_used,
        chain.forced_tokens,
        chain.discarded_tokens,
        chain.stop_cause,
        chain.reached_end_of_turn,
    )


@given(st.data(), st.integers(0, 30), st.integers(0, 60))
def test_a_restored_chain_goes_on_exactly_whatever_the_format_and_the_model(
    data: st.DataObject, room: int, cut: int
) -> None:
    compat = data.draw(st.sampled_from(["", "", "harness"]))
    single = compat == "harness"
    format_ = data.draw(formats(with_texts=not single))
    budget, model = data.draw(allowances(compat)), data.draw(models(format_))
    model = replace(model, sizes=cycle([1]))
    whole = chain_for(format_, budget, room)
    run(whole, replace(model, sizes=cycle([1])))
    last, thought, answered = interrupted(chain_for(format_, budget, room), model, cut)
    if last is None or not last.begun:
        assert answered == thought == 0, "nothing was shown, so it may begin anew"
        return
    assert thought == len(last.thinking)
    chain = restore(format_, budget, room, last)
    forced = len(chain.forced_answer) if last.stop_cause else 0
    assert answered == forced + len(last.answer)
    run(chain, replace(model, sizes=cycle([1])), before=thought)
    assert outcome(chain) == outcome(whole)


def test_news_add_up_to_where_the_chain_stands() -> None:
    first = Checkpoint(thinking=(1, 2), extensions=1, forced_tokens=1)
    second = Checkpoint(thinking=(1, 2, 3), closing=(7,), answer=(4,), stop_cause="natural")
    assert first.then(second.since(first)) == second
    assert Checkpoint().then(first.since(Checkpoint())) == first


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(str(POCKET_FOLDER), local_files_only=True)


def engine(
    tokenizer: Any, driver: str = "session", strings: ThinkingFormat = S1, one_in: int = 30
) -> ChainEngine:
    format_: TokenFormat = bind(strings, tokenizer)
    special = set(tokenizer.all_special_ids)
    words = [token for token in range(len(tokenizer)) if token not in special]
    core = ToyCore(
        format_,
        words,
        vocabulary=len(tokenizer),
        one_in=one_in,
        seconds_per_token=SECONDS_PER_TOKEN,
    )
    return ChainEngine(core, format_, ChainOptions("toy", driver=driver, replica="toy"))


def request(**fields: Any) -> SampleRequest:
    plain = SampleRequest(
        "q", (("user", "what?"),), (0,), Budget(60), SamplingParams(0.0), progress=True
    )
    return changed(plain, **fields)


async def until(engine: ChainEngine, asked: SampleRequest, seconds: float) -> list[Any]:
    """The events of the first so many seconds."""
    events: list[Any] = []
    try:
        async with asyncio.timeout(seconds):
            async for event in engine.sample(asked):
                events.append(event)
    except TimeoutError:
        pass
    return events


def covered(events: list[Any]) -> tuple[Checkpoint | None, str]:
    """Where the chain stands, and the text that was shown up to there."""
    at: Checkpoint | None = None
    text = held = ""
    for event in events:
        if isinstance(event, Delta):
            held += event.text
        if isinstance(event, ChainProgress):
            at, text, held = (at or Checkpoint()).then(event.news), text + held, ""
    return at, text


def sample_of(events: list[Any]) -> Sample:
    [sample] = [event for event in events if isinstance(event, Sample)]
    return replace(sample, seconds=0.0)


def text_of(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


@given(
    data=st.data(),
    driver=st.sampled_from(["session", "reprompt"]),
    budget=st.builds(
        Budget,
        st.integers(0, 80).map(lambda cap: cap + 2),
        extensions=st.integers(0, 4),
        answer_tokens=st.integers(1, 30),
    ),
    tokens=st.integers(1, 140),
    question=st.text("abc?", min_size=1, max_size=5),
    live=st.booleans(),
)
def test_text_and_counts_go_on_where_an_engine_was_left(
    tokenizer: Any,
    data: st.DataObject,
    driver: str,
    budget: Budget,
    tokens: int,
    question: str,
    live: bool,
) -> None:
    strings = data.draw(st.sampled_from([S1, S1_STEPS]))
    asked = request(messages=(("user", question),), budget=budget, stream=0 if live else None)

    async def scenario() -> None:
        whole = await until(engine(tokenizer, driver, strings), asked, 1e6)
        first = await until(engine(tokenizer, driver, strings), asked, tokens * SECONDS_PER_TOKEN)
        at, shown = covered(first)
        again = replace(asked, checkpoints=(at,))
        rest = await until(engine(tokenizer, driver, strings), again, 1e6)
        if any(isinstance(event, Sample) for event in first):
            assert sample_of(first) == sample_of(whole)
        else:
            assert sample_of(rest) == sample_of(whole)
            assert shown + text_of(rest) == text_of(whole)
        assert sample_of(whole).violations == ()

    run_virtual(scenario())


async def test_a_streamed_chain_loses_at_most_what_was_said_since_its_last_text(
    tokenizer: Any,
) -> None:
    events = await until(
        engine(tokenizer, one_in=10**6), request(stream=0, budget=Budget(500)), 3.005
    )
    at, shown = covered(events)
    assert at is not None
    assert len(at.thinking) >= 290
    assert text_of(events) == shown


async def test_trial_answers_are_not_repeated_and_their_cost_is_kept(tokenizer: Any) -> None:
    asked = request(budget=Budget(120), probing=Probing(every=20, answer_tokens=4, most=4))

    whole = await until(engine(tokenizer, one_in=10**6), asked, 1e6)
    first = await until(engine(tokenizer, one_in=10**6), asked, 0.79)
    at, _ = covered(first)
    assert at is not None
    rest = await until(engine(tokenizer, one_in=10**6), replace(asked, checkpoints=(at,)), 1e6)
    # A trial that began after the last report comes again, the same.
    trials = dict.fromkeys(event for event in first + rest if isinstance(event, Probe))
    assert [*trials] == [event for event in whole if isinstance(event, Probe)]
    assert sample_of(rest).probe_tokens == sample_of(whole).probe_tokens
    assert sample_of(rest).thinking_ids == sample_of(whole).thinking_ids


async def test_an_answer_that_cannot_be_cut_in_two_is_shown_and_told_whole(tokenizer: Any) -> None:
    asked = request(stream=0, logprobs=0, budget=Budget(20, answer_tokens=50))

    first = await until(engine(tokenizer, one_in=10**6), asked, 0.5)
    at, shown = covered(first)
    assert at is not None
    assert (len(at.thinking), at.answer, at.stop_cause) == (20, (), "max_thinking")
    whole = await until(engine(tokenizer, one_in=10**6), asked, 1e6)
    again = replace(asked, checkpoints=(at,))
    rest = await until(engine(tokenizer, one_in=10**6), again, 1e6)
    assert shown + text_of(rest) == text_of(whole)
    assert sample_of(rest) == sample_of(whole)


async def test_a_chain_that_was_to_answer_at_once_does_so_where_it_goes_on(tokenizer: Any) -> None:
    place = Checkpoint(thinking=(70, 71, 72), conclude=True)

    events = await until(engine(tokenizer), request(checkpoints=(place,)), 1e6)
    sample = sample_of(events)
    assert sample.stop_cause == "early_exit"
    assert sample.thinking_ids == place.thinking
    assert isinstance(events[0], Accepted)


@pytest.mark.parametrize("chains, least, most", [(1, 7, 9), (32, 2, 3), (100, 1, 1)])
def test_a_chain_tells_less_often_how_far_it_has_come_the_more_chains_run(
    tokenizer: Any, chains: int, least: int, most: int
) -> None:
    """Each runs for two seconds."""
    length = Budget(200, min_thinking_tokens=200, answer_tokens=1)
    asked = request(chains=tuple(range(chains)), budget=length)
    events = run_virtual(until(engine(tokenizer), asked, 60))
    told = [event.chain for event in events if isinstance(event, ChainProgress)]
    assert {*told} == {*range(chains)}
    assert all(least <= told.count(chain) <= most for chain in range(chains))
