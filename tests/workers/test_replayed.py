"""A recording is drawn from like a bag of samples: each comes out once, as it was recorded."""

import asyncio
import json
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from policies.signals import Confidence, Probe, Probing, Signals
from tests.builders import changed
from workers.engine import Load, Refused, SampleRequest
from workers.replayed import NOT_RECORDED, ReplayedEngine
from workers.sample import Accepted, Sample


def line(chain: int, answer: str | None, extensions: int = 0, **changes: Any) -> dict[str, Any]:
    """One recorded sample; a chain has cost 100 tokens, and 50 more after every Wait."""
    plain = {
        "chain": chain,
        "temperature": 1.0,
        "extensions": extensions,
        "answer": answer,
        "stop_cause": "extensions" if extensions else "natural",
        "thinking_tokens": 80 + 40 * extensions,
        "answer_tokens": 5,
        "tokens": 50 if extensions else 100,
        "chain_tokens": 100 + 50 * extensions,
        "seconds": 0.5,
        "replica": "gpu",
    }
    return plain | changes


def recording(*lines: dict[str, Any], question: str = "6*7?") -> dict[str, Any]:
    return {"question": question, "samples": [*lines]}


def request(question: str = "6*7?", extensions: int = 0, **changes: Any) -> SampleRequest:
    plain = SampleRequest(
        "query",
        (("user", question),),
        (0,),
        Budget(1000, extensions=extensions),
        SamplingParams(1.0),
    )
    return changed(plain, **changes)


def samples(engine: ReplayedEngine, *asked: SampleRequest) -> list[Sample]:
    async def main() -> list[Sample]:
        found = []
        for one in asked:
            async with aclosing(engine.sample(one)) as events:
                found += [event async for event in events if isinstance(event, Sample)]
        return found

    return asyncio.run(main())


def extended(engine: ReplayedEngine, extensions: int, chain: int = 0) -> list[Sample]:
    """A chain drawn, and then extended one Wait at a time."""
    found = samples(engine, request(chains=(chain,)))
    for count in range(1, extensions + 1):
        more = request(extensions=count, chains=(chain,), parents=(found[-1],))
        found += samples(engine, more)
    return found


def test_chains_are_drawn_without_replacement_in_their_order() -> None:
    engine = ReplayedEngine([recording(line(0, "1"), line(1, "2"), line(2, "3"))])
    found = samples(engine, request(chains=(0, 1)), request(chains=(2,)))
    assert [given.answer for given in found] == ["1", "2", "3"]


def test_every_query_draws_from_the_whole_recording() -> None:
    engine = ReplayedEngine([recording(line(0, "1"), line(1, "2"))])
    found = samples(engine, request(query="a"), request(query="b"))
    assert [given.answer for given in found] == ["1", "1"]


def test_a_question_that_was_recorded_twice_has_the_chains_of_both() -> None:
    engine = ReplayedEngine([recording(line(0, "1")), recording(line(0, "2"))])
    assert [given.answer for given in samples(engine, request(chains=(0, 1)))] == ["1", "2"]


def test_a_sample_comes_back_as_it_was_recorded_under_the_number_asked_for() -> None:
    engine = ReplayedEngine([recording(line(3, "42"))])
    assert samples(engine, request(chains=(7,))) == [
        Sample(
            chain=7,
            thinking="",
            text="Final Answer: 42",
            answer="42",
            stop_cause="natural",
            thinking_tokens=80,
            generated_tokens=100,
            seconds=0.5,
            replica="replayed",
        )
    ]


def test_a_sample_without_an_answer_stays_without_one() -> None:
    (given,) = samples(ReplayedEngine([recording(line(0, None))]), request())
    assert (given.answer, given.text) == (None, "")


@pytest.mark.parametrize(("temperature", "answer"), [(0.0, "2"), (1.0, "1"), (0.6, "1")])
def test_greedy_and_sampled_chains_are_told_apart(temperature: float, answer: str) -> None:
    engine = ReplayedEngine([recording(line(0, "1"), line(1, "2", temperature=0))])
    assert [s.answer for s in samples(engine, request(temperature=temperature))] == [answer]


def test_an_extended_chain_follows_its_own_record() -> None:
    lines = [line(chain, f"{chain}-{count}", count) for count in range(3) for chain in range(2)]
    engine = ReplayedEngine([recording(*lines)])
    assert [given.answer for given in extended(engine, 2, chain=5)] == ["0-0", "0-1", "0-2"]
    assert [given.answer for given in extended(engine, 2, chain=6)] == ["1-0", "1-1", "1-2"]


def test_a_resumed_call_costs_only_what_it_adds() -> None:
    engine = ReplayedEngine([recording(*(line(0, "1", count) for count in range(4)))])
    assert [given.generated_tokens for given in extended(engine, 3)] == [100, 50, 50, 50]


def test_a_chain_drawn_with_waits_costs_all_of_them() -> None:
    engine = ReplayedEngine([recording(*(line(0, "1", count) for count in range(4)))])
    (given,) = samples(engine, request(extensions=2))
    assert (given.extensions, given.generated_tokens) == (2, 200)


def test_a_chain_that_goes_far_enough_is_drawn_before_one_that_does_not() -> None:
    engine = ReplayedEngine([recording(line(0, "1"), line(1, "2"), line(1, "3", 1))])
    assert [given.answer for given in samples(engine, request(extensions=1))] == ["3"]


@pytest.mark.parametrize(
    "cause", ["lost", "cancelled", "deadline", "rejected", "unsure", "early_exit"]
)
def test_chains_that_were_cut_short_are_not_drawn(cause: str) -> None:
    gone = line(0, None, stop_cause=cause)
    engine = ReplayedEngine([recording(gone, line(1, "1"))])
    assert [given.answer for given in samples(engine, request())] == ["1"]


def test_an_extension_that_never_came_back_leaves_its_chain_as_it_was() -> None:
    gone = line(0, None, stop_cause="lost", tokens=0)
    engine = ReplayedEngine([recording(line(0, "1"), gone)])
    assert [given.answer for given in samples(engine, request())] == ["1"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(chains=(0, 1)), "the recording has 1 sampled chains of '6*7?'"),
        (request("7*7?"), "the recording has 0 sampled chains of '7*7?'"),
        (request(temperature=0.0), "the recording has 0 greedy chains of '6*7?'"),
        (request(extensions=2), "the recording has 0 sampled chains with 2 extensions of '6*7?'"),
    ],
)
def test_a_draw_that_is_not_recorded_is_refused(asked: SampleRequest, why: str) -> None:
    engine = ReplayedEngine([recording(line(0, "1"))])
    with pytest.raises(Refused) as caught:
        samples(engine, asked)
    assert (caught.value.field, caught.value.code) == ("samples", NOT_RECORDED)
    assert str(caught.value) == f"{why}; more of them are asked for"


def test_an_extension_beyond_the_record_is_refused() -> None:
    engine = ReplayedEngine([recording(line(0, "1"), line(0, "1", 1))])
    with pytest.raises(Refused) as caught:
        extended(engine, 2)
    assert caught.value.field == "extensions"
    assert str(caught.value) == "this sampled chain of '6*7?' is not recorded with 2 extensions"


def test_the_question_is_the_last_message() -> None:
    engine = ReplayedEngine([recording(line(0, "1"))])
    turns = (("system", "Be brief."), ("user", "6*7?"))
    assert [given.answer for given in samples(engine, request(messages=turns))] == ["1"]


def test_a_log_is_read_from_its_file(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    outcomes = [recording(line(0, "1")), recording(line(0, "2"), question="Größe?")]
    texts = [json.dumps(outcome, ensure_ascii=False) + "\n" for outcome in outcomes]
    log.write_text("".join(texts), encoding="utf-8")
    engine = ReplayedEngine.read(log)
    assert [given.answer for given in samples(engine, request("Größe?"))] == ["2"]
    assert asyncio.run(engine.info()).model == "replayed:outcomes.jsonl"


def test_everything_is_there_at_once() -> None:
    async def main() -> tuple[list[object], Load]:
        engine = ReplayedEngine([recording(line(0, "1"))])
        await engine.check()
        await engine.cancel("query")
        await engine.conclude("query", 0)
        return [event async for event in engine.sample(request())], await engine.load()

    events, load = asyncio.run(main())
    assert events[0] == Accepted(0)
    assert len(events) == 2
    assert load == Load(0, 0, 0.0)


def trial(at: int, answer: str | None = "1", probability: float = 0.9) -> dict[str, Any]:
    return {"thinking_tokens": at, "answer": answer, "probability": probability, "tokens": 9}


def probed(number: int = 0, *trials: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A recorded chain of 80 thinking tokens and its trials, which have cost 9 tokens each."""
    cost = 9 * len(trials)
    return line(
        number, "42", probes=[*trials], probe_tokens=cost, chain_tokens=100 + cost, **changes
    )


TRIALS = (trial(16), trial(32, "42"), trial(64, "42"))


async def followed(
    engine: ReplayedEngine, asked: SampleRequest, *, conclude_at: int = 0, cancel_at: int = 0
) -> list[Any]:
    """All events; at a trial the engine is told to end that chain, or all of them."""
    found = []
    async with aclosing(engine.sample(asked)) as events:
        async for event in events:
            found.append(event)
            if not isinstance(event, Probe):
                continue
            if event.thinking_tokens == conclude_at:
                await engine.conclude("query", event.chain)
            if event.thinking_tokens == cancel_at:
                await engine.cancel("query")
    return found[1:]


@pytest.mark.parametrize(
    ("probing", "points"),
    [
        (Probing(every=32), [32, 64]),
        (Probing(at=(16, 60)), [16]),
        (Probing(paragraphs=True), [16, 32, 64]),
        (Probing(extensions=True, most=2), [16, 32]),
    ],
)
def test_recorded_trials_come_where_they_are_asked_for(probing: Probing, points: list[int]) -> None:
    engine = ReplayedEngine([recording(probed(0, *TRIALS))])
    *trials, last = asyncio.run(followed(engine, request(chains=(5,), probing=probing)))
    assert [(probe.chain, probe.thinking_tokens) for probe in trials] == [(5, at) for at in points]
    assert (last.generated_tokens, last.probe_tokens) == (100, 9 * len(points))


def test_without_being_asked_for_trials_cost_nothing() -> None:
    (given,) = samples(ReplayedEngine([recording(probed(0, *TRIALS))]), request())
    assert (given.generated_tokens, given.probe_tokens) == (100, 0)


def test_a_concluded_chain_gives_its_trials_answer() -> None:
    engine = ReplayedEngine([recording(probed(0, *TRIALS))])
    asked = request(probing=Probing(every=16))
    *trials, last = asyncio.run(followed(engine, asked, conclude_at=32))
    assert len(trials) == 2
    assert (last.stop_cause, last.answer, last.thinking_tokens) == ("early_exit", "42", 32)
    assert (last.generated_tokens, last.probe_tokens) == (100 - (80 - 32), 18)


def test_a_cancelled_chain_has_cost_what_it_was_told_at() -> None:
    chains = recording(probed(0, *TRIALS), probed(1, *TRIALS))
    asked = request(chains=(0, 1), probing=Probing(every=16))
    *_, first, second = asyncio.run(followed(ReplayedEngine([chains]), asked, cancel_at=32))
    assert (first.stop_cause, first.generated_tokens, first.probe_tokens) == ("cancelled", 32, 18)
    assert (second.stop_cause, second.generated_tokens) == ("cancelled", 32)


def test_what_runs_beside_a_finished_chain_has_cost_as_much() -> None:
    async def main() -> list[Sample]:
        engine = ReplayedEngine(
            [recording(line(0, "1"), line(1, "2", chain_tokens=40), line(2, "3"))]
        )
        found = []
        async with aclosing(engine.sample(request(chains=(0, 1, 2)))) as events:
            async for event in events:
                if isinstance(event, Sample):
                    found.append(event)
                    await engine.cancel("query")
        return found

    found = asyncio.run(main())
    assert [given.stop_cause for given in found] == ["natural", "cancelled", "cancelled"]
    assert [given.generated_tokens for given in found] == [100, 40, 100]


def test_a_try_beyond_its_cap_is_rejected_there() -> None:
    engine = ReplayedEngine([recording(line(0, "1"))])
    (given,) = samples(engine, request(budget=Budget(60, answer_when_cut=False)))
    assert (given.stop_cause, given.answer, given.thinking_tokens) == ("rejected", None, 60)
    assert given.generated_tokens == 80


def test_a_capped_chain_gives_the_trial_answer_of_its_cap() -> None:
    engine = ReplayedEngine([recording(probed(0, *TRIALS))])
    (given,) = samples(engine, request(budget=Budget(32)))
    assert (given.stop_cause, given.answer, given.thinking_tokens) == ("max_thinking", "42", 32)
    assert (given.generated_tokens, given.probe_tokens) == (32 + 9, 0)
    (whole,) = samples(ReplayedEngine([recording(probed(0))]), request(budget=Budget(80)))
    assert (whole.stop_cause, whole.generated_tokens) == ("natural", 100)


SURE = {"mean": 3.0, "lowest": 1.0, "tail": 2.0, "answer": None}


@pytest.mark.parametrize(
    ("end_below", "cause"), [(None, "natural"), (1.0, "natural"), (1.5, "unsure")]
)
def test_an_unsure_chain_is_known_by_its_record(end_below: float | None, cause: str) -> None:
    engine = ReplayedEngine([recording(line(0, "1", confidence=SURE))])
    (given,) = samples(engine, request(signals=Signals(end_below=end_below)))
    assert given.confidence == Confidence(3.0, 1.0, 2.0, None)
    assert given.stop_cause == cause
    assert (given.answer is None) is (cause == "unsure")


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"probing": Probing(every=5)}, "probing", "no trial answers of '6*7?'"),
        ({"signals": Signals()}, "signals", "no confidence of '6*7?'"),
        ({"budget": Budget(60)}, "max_thinking_tokens", "after 60 thinking tokens"),
    ],
)
def test_what_is_not_recorded_is_refused(changes: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(Refused, match=re.escape(why)) as caught:
        samples(ReplayedEngine([recording(line(0, "1"))]), request(**changes))
    assert caught.value.field == field


def test_a_cap_between_trials_or_after_an_extension_is_refused() -> None:
    for budget in (Budget(33), Budget(64, extensions=1)):
        lines = recording(probed(0, *TRIALS), line(0, "42", 1, probes=[], probe_tokens=0))
        with pytest.raises(Refused, match=f"after {budget.max_thinking_tokens} thinking"):
            samples(ReplayedEngine([lines]), request(budget=budget))
