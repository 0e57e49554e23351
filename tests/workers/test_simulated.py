"""The simulated engine keeps its law, its time and its word."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.clock import run_virtual
from workers.engine import Load, Refused, SampleRequest
from workers.forcing import Forcing
from workers.sample import Accepted, Delta, Sample
from workers.simulated import (
    ANSWER_TOKENS,
    LAWS,
    SimulatedEngine,
    law_of,
    questions,
    reference,
)


def request(
    question: str = "medium question", *, most: int = 2000, extensions: int = 0, **changes: Any
) -> SampleRequest:
    plain = SampleRequest("query", (("user", question),), (0,), Forcing(most, 0, extensions))
    return replace(plain, **changes)


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
        return request(
            text, extensions=count, chains=(chain,), temperature=temperature, resume=resume
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


def test_a_cut_chain_guesses() -> None:
    async def main() -> list[Sample]:
        asked = request("easy question", most=5, chains=tuple(range(500)))
        return await samples(SimulatedEngine(slots=500), asked)

    right = sum(given.answer == reference("easy question") for given in run_virtual(main()))
    assert right / 500 == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 500) ** 0.5)


def test_a_minimum_makes_short_chains_longer() -> None:
    asked = request("easy question", forcing=Forcing(500, 300))
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
            given = await sample(engine, request(extensions=count, resume=given))
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
    assert cancelled.generated_tokens == whole.generated_tokens * 2 // 4
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
    assert (
        str(caught.value) == "the prompt of 73 tokens does not fit into the context of 200 tokens"
    )


def test_a_prompt_that_just_fits_leaves_no_room_to_think() -> None:
    engine = SimulatedEngine(max_model_len=200)
    given = run_virtual(sample(engine, request("word " * 68)))
    assert given.stop_cause == "context"
    assert given.thinking_tokens == 0


def test_the_engine_tells_what_it_is() -> None:
    async def main() -> tuple[object, ...]:
        return await SimulatedEngine(slots=7, max_model_len=99, model="mine").info()

    assert run_virtual(main()) == ("mine", "s1", 99, 1.0, 7)
