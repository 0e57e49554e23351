"""The simulated engine keeps its law, its time and its word."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from policies.signals import Probe, Probing, Signals
from tests.builders import changed
from workers.engine import EngineEvent, Load, Refused, SampleRequest
from workers.sample import Accepted, Delta, Sample
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import ANSWER_TOKENS, LAWS, law_of, questions, reference


def request(
    question: str = "medium question", *, most: int = 2000, extensions: int = 0, **changes: Any
) -> SampleRequest:
    plain = SampleRequest("query", (("user", question),), (0,), Budget(most, 0, extensions))
    return changed(plain, **changes)


async def samples(engine: SimulatedEngine, asked: SampleRequest) -> list[Sample]:
    async with aclosing(engine.sample(asked)) as events:
        return [event async for event in events if isinstance(event, Sample)]


async def sample(engine: SimulatedEngine, asked: SampleRequest) -> Sample:
    (only,) = await samples(engine, asked)
    return only


async def later(engine: SimulatedEngine, asked: SampleRequest) -> asyncio.Task[list[Sample]]:
    """The request under way: every chain that has a slot is running."""
    task = asyncio.create_task(samples(engine, asked))
    await asyncio.sleep(0.001)
    return task


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.slow
@pytest.mark.parametrize("extensions", range(4))
@pytest.mark.parametrize("name", LAWS)
def test_greedy_chains_are_as_accurate_as_the_law_says(name: str, extensions: int) -> None:
    asked = [f"{name} question {number}" for number in range(500)]

    async def main() -> list[Sample]:
        engine = SimulatedEngine()
        return [
            await sample(engine, request(question, extensions=extensions, temperature=0.0))
            for question in asked
        ]

    answers = [given.answer for given in run_virtual(main())]
    right = sum(answer == reference(q) for answer, q in zip(answers, asked, strict=True))
    expected = LAWS[name].accuracy_after(extensions)
    error = (expected * (1 - expected) / len(asked)) ** 0.5
    assert right / len(asked) == pytest.approx(expected, abs=4 * error)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_sampled_chains_give_the_mode_as_often_as_the_law_says(name: str) -> None:
    async def main() -> list[Sample]:
        asked = request(f"{name} question", chains=tuple(range(500)), temperature=1.0)
        return await samples(SimulatedEngine(slots=500), asked)

    answers = [given.answer for given in run_virtual(main())]
    mode = max(answers.count(digit) for digit in set(answers))
    expected = LAWS[name].mode_mass
    error = (expected * (1 - expected) / 500) ** 0.5
    assert mode / 500 == pytest.approx(expected, abs=4 * error)


def test_the_same_seed_gives_the_same_samples_and_another_seed_others() -> None:
    async def main(seed: int) -> list[Sample]:
        asked = request("hard question", chains=tuple(range(20)))
        return await samples(SimulatedEngine(seed), asked)

    assert run_virtual(main(3)) == run_virtual(main(3))
    assert run_virtual(main(3)) != run_virtual(main(4))


def test_greedy_chains_of_a_question_are_all_the_same() -> None:
    async def main() -> list[Sample]:
        asked = request(chains=(0, 1, 2), temperature=0.0)
        other = replace(asked, query="another")
        engines = SimulatedEngine(seed=1), SimulatedEngine(seed=2)
        return await samples(engines[0], asked) + await samples(engines[1], other)

    found = run_virtual(main())
    assert [replace(given, chain=0) for given in found] == [found[0]] * 6


def test_questions_are_the_same_for_a_seed_and_know_their_answers() -> None:
    asked = questions(50, seed=1)
    assert asked == questions(50, seed=1)
    assert asked != questions(50, seed=2)
    assert {question["class"] for question in asked} == {*LAWS}
    assert all(question["answer"] == reference(question["question"]) for question in asked)
    assert all(question["class"] == law_of(question["question"]) for question in asked)


def test_a_question_that_names_no_class_has_one_all_the_same() -> None:
    found = {law_of(f"question {number}") for number in range(100)}
    assert found == {*LAWS}


@given(
    st.sampled_from([*LAWS]),
    st.integers(0, 99),
    st.integers(1, 4),
    st.integers(0, 5),
    st.sampled_from([None, 0.0]),
)
def test_a_chain_extended_step_by_step_is_one_longer_chain(
    name: str, number: int, extensions: int, chain: int, temperature: float | None
) -> None:
    def asked(count: int, resume: Sample | None = None) -> SampleRequest:
        text = f"{name} question {number}"
        parents = (resume,) if resume else ()
        return request(
            text, extensions=count, chains=(chain,), temperature=temperature, parents=parents
        )

    async def main() -> tuple[Sample, list[Sample]]:
        engine = SimulatedEngine()
        steps = [await sample(engine, asked(0))]
        for count in range(1, extensions + 1):
            steps.append(await sample(engine, asked(count, steps[-1])))
        return await sample(engine, asked(extensions)), steps

    whole, steps = run_virtual(main())
    assert steps[-1].answer == whole.answer
    assert steps[-1].thinking_tokens == whole.thinking_tokens
    assert [step.extensions for step in steps] == [*range(extensions + 1)]
    spent = sum(step.generated_tokens for step in steps)
    assert spent == whole.generated_tokens + extensions * ANSWER_TOKENS


@pytest.mark.parametrize(
    ("most", "max_model_len", "cause"), [(5, 4096, "max_thinking"), (2000, 139, "context")]
)
def test_a_cut_chain_has_the_tokens_it_was_left(most: int, max_model_len: int, cause: str) -> None:
    engine = SimulatedEngine(max_model_len=max_model_len)
    cut = run_virtual(sample(engine, request("hopeless question", most=most, extensions=2)))
    assert cut.stop_cause == cause
    assert cut.thinking_tokens == 5
    assert cut.generated_tokens == 5 + ANSWER_TOKENS


@pytest.mark.parametrize("most", [0, 5, 20])
def test_a_cut_chain_answers_as_its_law_says(most: int) -> None:
    asked = [f"easy question {number}" for number in range(500)]

    async def main() -> list[tuple[Sample, Sample]]:
        engine = SimulatedEngine()
        return [
            (
                await sample(engine, request(question, temperature=0.0)),
                await sample(engine, request(question, temperature=0.0, most=most)),
            )
            for question in asked
        ]

    found = run_virtual(main())
    right = sum(cut.answer == reference(q) for (_, cut), q in zip(found, asked, strict=True))
    shares = [most / whole.thinking_tokens for whole, _ in found]
    expected = sum(LAWS["easy"].accuracy_at(share) for share in shares) / len(asked)
    error = (expected * (1 - expected) / len(asked)) ** 0.5
    assert right / len(asked) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("reserve", [1, ANSWER_TOKENS - 1, ANSWER_TOKENS, 99])
def test_an_answer_keeps_to_its_reserve(reserve: int) -> None:
    told = run_virtual(sample(SimulatedEngine(), request(budget=Budget(500, 0, 0, None, reserve))))
    assert told.answer_tokens == min(reserve, ANSWER_TOKENS)
    assert told.complete is (reserve >= ANSWER_TOKENS)


def test_a_minimum_makes_short_chains_longer() -> None:
    asked = request("easy question", budget=Budget(500, 300))
    assert run_virtual(sample(SimulatedEngine(), asked)).thinking_tokens == 300


def test_a_chain_takes_as_long_as_its_tokens() -> None:
    async def main() -> tuple[Sample, float]:
        given = await sample(SimulatedEngine(tokens_per_second=10.0), request())
        return given, now()

    given, seconds = run_virtual(main())
    assert seconds == pytest.approx(given.generated_tokens / 10)


@pytest.mark.parametrize("waits", [0, 2])
def test_a_sample_tells_how_long_its_call_took(waits: int) -> None:
    async def main() -> tuple[Sample, float]:
        engine = SimulatedEngine(tokens_per_second=10.0)
        given = await sample(engine, request())
        began = 0.0
        for count in range(1, waits + 1):
            began = now()
            given = await sample(engine, request(extensions=count, parents=(given,)))
        return given, now() - began

    given, seconds = run_virtual(main())
    assert given.seconds == pytest.approx(seconds)


def test_chains_beyond_the_slots_wait_for_their_turn() -> None:
    async def main() -> tuple[Load, Load, float]:
        engine = SimulatedEngine(slots=2, tokens_per_second=10.0)
        asked = request("easy question", most=4, chains=tuple(range(6)))
        task = await later(engine, asked)
        busy = await engine.load()
        await task
        return busy, await engine.load(), now()

    busy, idle, seconds = run_virtual(main())
    assert (busy.running, busy.waiting) == (2, 4)
    assert idle == Load(0, 0, 0.0)
    assert seconds == pytest.approx(3 * (4 + ANSWER_TOKENS) / 10)


def test_the_wanted_chain_is_streamed_before_its_sample() -> None:
    async def main() -> list[object]:
        asked = request(chains=(0, 1), stream=1)
        return [event async for event in SimulatedEngine().sample(asked)]

    first, *events = run_virtual(main())
    assert first == Accepted(2 + 4)
    deltas = [event for event in events if isinstance(event, Delta)]
    (told,) = [event for event in events if isinstance(event, Sample) and event.chain == 1]
    assert {delta.chain for delta in deltas} == {1}
    assert [delta.phase for delta in deltas] == [*["thinking"] * 4, "answer"]
    assert deltas[-1].text == told.text
    assert events.index(told) > events.index(deltas[-1])


def test_cancelled_chains_come_back_with_what_they_cost() -> None:
    async def main() -> tuple[Sample, Sample, float]:
        engine, asked = SimulatedEngine(tokens_per_second=10.0), request("hopeless question")
        whole = await sample(engine, asked)
        began = now()
        task = asyncio.create_task(sample(engine, asked))
        await asyncio.sleep(0.6 * whole.generated_tokens / 10)
        await engine.cancel("query")
        return whole, await task, now() - began

    whole, cancelled, seconds = run_virtual(main())
    assert cancelled.stop_cause == "cancelled"
    assert cancelled.answer is None
    assert not cancelled.complete
    assert cancelled.generated_tokens == int(0.6 * whole.generated_tokens + 1e-6)
    assert seconds == pytest.approx(0.6 * whole.generated_tokens / 10)


def test_cancelling_ends_every_chain_of_the_query_and_of_no_other() -> None:
    async def main() -> tuple[list[Sample], list[Sample]]:
        engine = SimulatedEngine(slots=3)
        mine = await later(engine, request(chains=(0, 1, 2, 3)))
        other = await later(engine, request(query="other"))
        await engine.cancel("query")
        await engine.cancel("unknown")
        return await mine, await other

    mine, other = run_virtual(main())
    assert [given.stop_cause for given in mine] == ["cancelled"] * 4
    assert [given.stop_cause for given in other] == ["natural"]


def test_a_query_that_was_cancelled_can_be_asked_again() -> None:
    async def main() -> Sample:
        engine = SimulatedEngine()
        task = await later(engine, request())
        await engine.cancel("query")
        await task
        return await sample(engine, request())

    assert run_virtual(main()).stop_cause == "natural"


def test_a_killed_engine_loses_its_chains_at_once_and_is_found_out() -> None:
    async def main() -> tuple[list[Sample], list[Sample], float]:
        engine = SimulatedEngine(slots=2, tokens_per_second=10.0)
        await engine.check()
        task = await later(engine, request(chains=(0, 1, 2)))
        began = now()
        engine.kill()
        gone = await task
        with pytest.raises(RuntimeError, match="killed"):
            await engine.check()
        return gone, await samples(engine, request()), now() - began

    gone, refused, seconds = run_virtual(main())
    assert [given.stop_cause for given in gone + refused] == ["lost"] * 4
    assert [given.answer for given in gone + refused] == [None] * 4
    assert seconds == 0.0


def test_a_revived_engine_serves_again() -> None:
    async def main() -> Sample:
        engine = SimulatedEngine()
        engine.kill()
        engine.revive()
        await engine.check()
        return await sample(engine, request())

    assert run_virtual(main()).stop_cause == "natural"


def test_chains_are_lost_even_when_the_engine_is_back_at_once() -> None:
    async def main() -> list[Sample]:
        engine = SimulatedEngine()
        task = await later(engine, request())
        engine.kill()
        engine.revive()
        return await task

    assert [given.stop_cause for given in run_virtual(main())] == ["lost"]


def test_a_closed_engine_no_longer_serves() -> None:
    async def main() -> None:
        engine = SimulatedEngine()
        await engine.close()
        await engine.check()

    with pytest.raises(RuntimeError, match="killed"):
        run_virtual(main())


def test_closing_the_iterator_drops_what_is_running() -> None:
    async def main() -> tuple[Load, int]:
        engine = SimulatedEngine()
        async with aclosing(engine.sample(request(chains=(0, 1, 2), stream=0))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await asyncio.sleep(1)
        return await engine.load(), len(asyncio.all_tasks())

    assert run_virtual(main()) == (Load(0, 0, 0.0), 1)


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    async def main() -> None:
        engine = SimulatedEngine(max_model_len=200)
        await samples(engine, request("word " * 69))

    with pytest.raises(Refused) as caught:
        run_virtual(main())
    assert caught.value.field == "messages"
    assert caught.value.code == "context_length_exceeded"
    assert "maximum context length is 200 tokens. However, the prompt is 73" in str(caught.value)


def test_a_prompt_that_just_fits_leaves_no_room_to_think() -> None:
    engine = SimulatedEngine(max_model_len=200)
    given = run_virtual(sample(engine, request("word " * 68)))
    assert given.stop_cause == "context"
    assert given.thinking_tokens == 0


def test_the_engine_tells_what_it_is() -> None:
    async def main() -> tuple[object, ...]:
        return await SimulatedEngine(slots=7, max_model_len=99, model="mine").info()

    assert run_virtual(main()) == ("mine", "s1", 99, 1.0, 7, True, True, "")


async def events_of(engine: SimulatedEngine, asked: SampleRequest) -> list[EngineEvent]:
    async with aclosing(engine.sample(asked)) as events:
        return [event async for event in events]


def probes_of(asked: SampleRequest) -> list[Probe]:
    events = run_virtual(events_of(SimulatedEngine(), asked))
    return [event for event in events if isinstance(event, Probe)]


def test_trial_answers_come_where_they_were_asked_for() -> None:
    whole = run_virtual(sample(SimulatedEngine(), request("hopeless question")))
    end = whole.thinking_tokens
    at = request("hopeless question", probing=Probing(at=(7, 30, 5000), every=50))
    assert [p.thinking_tokens for p in probes_of(at)] == sorted({7, 30, *range(50, end, 50)})
    paragraphs = request("hopeless question", probing=Probing(paragraphs=True, most=3))
    assert [p.thinking_tokens for p in probes_of(paragraphs)] == [16, 32, 48]


def test_trial_answers_come_before_every_wait() -> None:
    asked = request("easy question", extensions=2, probing=Probing(extensions=True))
    ends = [
        run_virtual(sample(SimulatedEngine(), request("easy question", extensions=waits)))
        for waits in range(2)
    ]
    assert [p.thinking_tokens for p in probes_of(asked)] == [end.thinking_tokens for end in ends]
    assert [p.answer for p in probes_of(asked)] == [end.answer for end in ends]


def test_trial_answers_are_paid_for_and_change_nothing_else() -> None:
    asked = request("hard question", chains=(0, 1), probing=Probing(every=20))
    plain = run_virtual(samples(SimulatedEngine(), replace(asked, probing=None)))
    events = run_virtual(events_of(SimulatedEngine(), asked))
    probed = [event for event in events if isinstance(event, Sample)]
    for chain in probed:
        mine = [e for e in events if isinstance(e, Probe) and e.chain == chain.chain]
        assert (
            chain.probe_tokens == sum(probe.tokens for probe in mine) == ANSWER_TOKENS * len(mine)
        )
        assert events.index(mine[-1]) < events.index(chain)
    assert [replace(chain, probe_tokens=0) for chain in probed] == plain


def test_a_trial_too_short_for_an_answer_has_none() -> None:
    asked = request("hard question", probing=Probing(every=20, answer_tokens=ANSWER_TOKENS - 1))
    assert {(p.answer, p.tokens) for p in probes_of(asked)} == {(None, ANSWER_TOKENS - 1)}


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_trial_answers_are_right_as_often_as_the_law_says(share: float) -> None:
    asked = [f"easy question {number}" for number in range(400)]

    async def main() -> list[tuple[Probe, int]]:
        engine, found = SimulatedEngine(), []
        for question in asked:
            whole = await sample(engine, request(question, temperature=0.0))
            at = Probing(at=(max(1, round(share * whole.thinking_tokens)),))
            events = await events_of(engine, request(question, temperature=0.0, probing=at))
            (probe,) = [event for event in events if isinstance(event, Probe)]
            found.append((probe, whole.thinking_tokens))
        return found

    found = run_virtual(main())
    right = sum(probe.answer == reference(q) for (probe, _), q in zip(found, asked, strict=True))
    shares = [probe.thinking_tokens / end for probe, end in found]
    expected = sum(LAWS["easy"].accuracy_at(at) for at in shares) / len(asked)
    error = (expected * (1 - expected) / len(asked)) ** 0.5
    assert right / len(asked) == pytest.approx(expected, abs=4 * error)
    sure = [probe.probability > 0.9 for probe, _ in found]
    assert sum(sure) / len(sure) == pytest.approx(
        sum(at + (1 - at) * 0.1 for at in shares) / len(shares), abs=0.1
    )


def test_a_concluded_chain_answers_what_its_trial_said() -> None:
    async def main() -> tuple[list[Probe], Sample, float]:
        engine, heard = SimulatedEngine(tokens_per_second=10.0), []
        asked = request("hopeless question", probing=Probing(every=20))
        async with aclosing(engine.sample(asked)) as events:
            async for event in events:
                if isinstance(event, Probe):
                    heard.append(event)
                    if len(heard) == 2:
                        await engine.conclude("query", 0)
                if isinstance(event, Sample):
                    return heard, event, now()
        raise AssertionError("no sample came")

    heard, exited, seconds = run_virtual(main())
    assert exited.stop_cause == "early_exit"
    assert exited.answer == heard[-1].answer
    assert exited.thinking_tokens == heard[-1].thinking_tokens == 40
    assert exited.generated_tokens == 40 + ANSWER_TOKENS
    assert exited.probe_tokens == 2 * ANSWER_TOKENS
    assert seconds == pytest.approx((40 + ANSWER_TOKENS) / 10)


def test_a_chain_is_concluded_where_it_stands_and_others_go_on() -> None:
    async def main() -> dict[int, Sample]:
        engine = SimulatedEngine(tokens_per_second=10.0)
        task = await later(engine, request("hopeless question", chains=(0, 1)))
        await asyncio.sleep(3.05)
        await engine.conclude("query", 1)
        await engine.conclude("query", 7)
        return {given.chain: given for given in await task}

    found = run_virtual(main())
    assert (found[1].stop_cause, found[1].thinking_tokens) == ("early_exit", 30)
    assert found[0].stop_cause == "natural"


def test_an_answer_is_not_concluded_but_can_be_cancelled() -> None:
    async def main(cancel: bool) -> Sample:
        engine = SimulatedEngine(tokens_per_second=10.0)
        whole = await sample(engine, request())
        task = await later(engine, request())
        await asyncio.sleep((whole.thinking_tokens + 2) / 10)
        await engine.conclude("query", 0)
        if cancel:
            await engine.cancel("query", 0)
        (given,) = await task
        return given

    assert run_virtual(main(False)).stop_cause == "natural"
    assert run_virtual(main(True)).stop_cause == "cancelled"


def test_one_chain_is_cancelled_alone() -> None:
    async def main() -> list[Sample]:
        engine = SimulatedEngine()
        task = await later(engine, request(chains=(0, 1, 2)))
        await engine.cancel("query", 1)
        return await task

    causes = {given.chain: given.stop_cause for given in run_virtual(main())}
    assert causes == {0: "natural", 1: "cancelled", 2: "natural"}


def test_a_try_that_its_cap_cuts_is_rejected() -> None:
    async def main() -> list[Sample]:
        budget = Budget(60, answer_when_cut=False)
        return await samples(SimulatedEngine(), request(budget=budget, chains=tuple(range(40))))

    found = run_virtual(main())
    whole = run_virtual(samples(SimulatedEngine(), request(chains=tuple(range(40)))))
    by_chain = {told.chain: told for told in whole}
    assert {told.stop_cause for told in found} == {"natural", "rejected"}
    for told in found:
        if told.stop_cause == "natural":
            assert told == by_chain[told.chain]
            continue
        assert by_chain[told.chain].thinking_tokens > 60
        assert (told.answer, told.text, told.complete) == (None, "", False)
        assert told.thinking_tokens == told.generated_tokens == told.tokens == 60


def test_right_chains_are_surer() -> None:
    async def main() -> list[Sample]:
        asked = request("medium question", chains=tuple(range(300)), signals=Signals())
        return await samples(SimulatedEngine(slots=300), asked)

    right: list[float] = []
    wrong: list[float] = []
    for told in run_virtual(main()):
        assert told.confidence is not None and told.confidence.tail is not None
        kind = right if told.answer == reference("medium question") else wrong
        kind.append(told.confidence.tail)
    assert sum(right) / len(right) == pytest.approx(sum(wrong) / len(wrong) + 2.0, abs=0.5)
    assert min(right) < max(wrong)


def test_nobody_is_sure_unasked() -> None:
    assert run_virtual(sample(SimulatedEngine(), request())).confidence is None


def test_unsure_chains_end_early_and_the_others_as_ever() -> None:
    async def main(end_below: float | None) -> dict[int, Sample]:
        asked = request(chains=tuple(range(60)), signals=Signals(end_below=end_below))
        return {told.chain: told for told in await samples(SimulatedEngine(), asked)}

    whole, found = run_virtual(main(None)), run_virtual(main(10.0))
    assert {told.stop_cause for told in found.values()} == {"natural", "unsure"}
    for number, told in found.items():
        sure = whole[number].confidence
        assert sure is not None and sure.lowest is not None
        if told.stop_cause == "natural":
            assert told == whole[number]
        else:
            assert sure.lowest < 10.0
            assert told.answer is None
            assert told.thinking_tokens == told.tokens < whole[number].thinking_tokens
