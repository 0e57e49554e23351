"""Forced chains on real vLLM go on, end early, are probed, and say how sure they are."""

import asyncio
from dataclasses import replace

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from policies.signals import Probe, Probing, Signals
from tests.real.engine.test_vllm_engine import all_events, many, one, questions, request
from workers.drivers.chain_engine import ChainEngine
from workers.drivers.core import GenerateOptions
from workers.engine import EngineEvent, Refused
from workers.forcing.chain import GenerateCall
from workers.format import S1, bind
from workers.sample import Delta, Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

LONG = Budget(1800, 1800, answer_tokens=32)


def samples(events: list[EngineEvent]) -> dict[int, Sample]:
    return {event.chain: event for event in events if isinstance(event, Sample)}


def test_a_chain_goes_on_with_the_same_tokens_where_its_kv_cache_is_gone(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    text = questions(1)[0]
    chain = loop.run(one(engine, request(text, Budget(1500, answer_tokens=32))))
    budget = Budget(1500, extensions=2, answer_tokens=32)
    on = request(text, budget, parents=(chain,))
    here = loop.run(one(engine, on))
    loop.run(engine.core._llm.reset_prefix_cache())  # type: ignore[attr-defined]
    elsewhere = loop.run(one(engine, on))
    assert here.thinking_ids[: len(chain.thinking_ids)] == chain.thinking_ids
    assert here.extensions == 2
    assert (here.thinking_ids, here.text) == (elsewhere.thinking_ids, elsewhere.text)
    assert here.generated_tokens == elsewhere.generated_tokens < here.thinking_tokens + 32


def test_one_chain_of_many_is_cancelled_and_the_others_go_on(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    budget = Budget(400, 400, answer_tokens=32)
    wanted = request(questions(1)[0], budget, name="one", chains=(0, 1, 2, 3), temperature=None)

    async def cancel() -> list[EngineEvent]:
        running = asyncio.create_task(all_events(engine.sample(wanted)))
        await asyncio.sleep(0.1)
        await engine.cancel("one", 2)
        return await asyncio.wait_for(running, 60)

    found = samples(loop.run(cancel()))
    assert found[2].stop_cause == "cancelled"
    assert found[2].answer is None
    assert {found[number].stop_cause for number in (0, 1, 3)} == {"max_thinking"}
    assert loop.run(engine.load()).running == 0


@pytest.mark.parametrize("driver", ["session", "reprompt"])
def test_a_chain_that_is_concluded_answers_from_what_it_has_thought(
    loop: asyncio.Runner, engine: ChainEngine, driver: str
) -> None:
    driven = ChainEngine(engine.core, engine.format, replace(engine.options, driver=driver))
    wanted = request(questions(1)[0], LONG, name="early", stream=0)
    whole = loop.run(one(driven, replace(wanted, stream=None)))

    async def conclude() -> list[EngineEvent]:
        events: list[EngineEvent] = []
        async for event in driven.sample(wanted):
            events.append(event)
            if sum(isinstance(each, Delta) for each in events) == 3:
                await driven.conclude("early", 0)
        return events

    events = loop.run(conclude())
    (sample,) = samples(events).values()
    assert sample.stop_cause == "early_exit"
    assert 0 < sample.thinking_tokens < LONG.max_thinking_tokens
    assert sample.thinking_ids == whole.thinking_ids[: sample.thinking_tokens]
    assert sample.text.startswith("Final Answer:") and sample.answer is not None
    shown = [event for event in events if isinstance(event, Delta)]
    assert "".join(each.text for each in shown if each.phase == "thinking") == sample.thinking
    assert "".join(each.text for each in shown if each.phase == "answer").strip() == sample.text
    assert sample.violations == ()


def test_a_trial_answer_is_the_answer_of_a_chain_that_is_cut_there(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    probing = Probing(at=(3,), every=10, most=4, answer_tokens=16)
    budget = Budget(300, answer_tokens=16)
    for number, text in enumerate(questions(6)):
        plain = loop.run(one(engine, request(text, budget, name=f"plain-{number}")))
        probed = request(text, budget, name=f"probed-{number}", probing=probing)
        events = loop.run(all_events(engine.sample(probed)))
        probes = [event for event in events if isinstance(event, Probe)]
        (sample,) = samples(events).values()
        assert (sample.thinking_ids, sample.text) == (plain.thinking_ids, plain.text)
        places = [at for at in (3, 10, 20, 30) if at <= plain.thinking_tokens]
        assert {probe.thinking_tokens for probe in probes} <= set(places)
        assert sample.probe_tokens >= sum(probe.tokens for probe in probes)
        assert (sample.probe_tokens > 0) == bool(places)
        for probe in probes:
            cut = Budget(probe.thinking_tokens, answer_tokens=16)
            short = loop.run(one(engine, request(text, cut, name=f"cut-{number}")))
            assert short.thinking_tokens == probe.thinking_tokens
            assert probe.text == short.text
            assert 0 < probe.probability <= 1


def test_confidence_is_that_of_the_models_own_tokens(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    text = questions(1)[0]
    signals = Signals(top=5, window=8)
    budget = Budget(400, answer_tokens=32)
    sample = loop.run(one(engine, request(text, budget, signals=signals)))
    assert sample.confidence is not None
    prompt = engine.prompter.tokens((("user", text),))
    call = GenerateCall(len(sample.thinking_ids), 0, frozenset())

    async def plain() -> list[float]:
        tops: list[float] = []
        sampling = GenerateOptions(SamplingParams(temperature=0, logprobs=5))
        async for piece in engine.core.generate("confidence", prompt, call, sampling):
            assert all(len(token.top) == 5 for token in piece.logprobs)
            tops += [-sum(token.top) / 5 for token in piece.logprobs]
        return tops

    confidences = loop.run(plain())
    assert len(confidences) == sample.thinking_tokens
    windows = [sum(confidences[at : at + 8]) / 8 for at in range(len(confidences) - 7)]
    assert sample.confidence.mean == pytest.approx(sum(confidences) / len(confidences), rel=1e-3)
    assert sample.confidence.lowest == pytest.approx(min(windows), rel=1e-3)
    assert sample.confidence.tail == pytest.approx(windows[-1], rel=1e-3)
    assert sample.confidence.answer is not None and 0 < sample.confidence.answer <= 1


def test_a_chain_whose_confidence_falls_too_low_ends_at_once(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    signals = Signals(top=5, window=8, end_below=1e9)
    wanted = request(questions(1)[0], LONG, name="unsure", signals=signals)
    sample = loop.run(one(engine, wanted))
    assert sample.stop_cause == "unsure"
    assert sample.answer is None
    assert 8 <= sample.thinking_tokens < LONG.max_thinking_tokens


def test_a_try_that_is_cut_is_rejected_without_an_answer(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    budget = Budget(5, answer_tokens=32, answer_when_cut=False)
    for sample in many(loop, engine, [request(t, budget, name=t) for t in questions(8)]):
        assert sample.stop_cause in ("rejected", "natural")
        assert (sample.stop_cause == "rejected") == (sample.thinking_tokens == 5)
        assert sample.stop_cause == "natural" or sample.answer_tokens == 0
        assert sample.violations == ()


def test_stops_that_are_text_end_thinking_where_the_text_begins(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    budget = Budget(300, answer_tokens=16)
    for number, text in enumerate(questions(12)):
        plain = loop.run(one(engine, request(text, budget, name=f"token-{number}")))
        middle = len(plain.thinking) // 2
        stop = plain.thinking[middle : middle + 3]
        texts = replace(S1, name="texts", stops=(), stop_texts=(stop, "<|im_start|>"))
        format_ = bind(texts, engine.core.tokenizer, engine.format.end_of_turn)
        by_text = ChainEngine(engine.core, format_, engine.options)
        wanted = request(text, budget, name=f"text-{number}", stream=0)
        events = loop.run(all_events(by_text.sample(wanted)))
        (sample,) = samples(events).values()
        assert sample.thinking == plain.thinking.split(stop)[0]
        assert sample.stop_cause == "natural" and sample.violations == ()
        shown = [each for each in events if isinstance(each, Delta) and each.phase == "thinking"]
        assert "".join(each.text for each in shown) == sample.thinking
        waited = replace(wanted, budget=Budget(300, extensions=1, answer_tokens=16))
        (longer,) = samples(loop.run(all_events(by_text.sample(waited)))).values()
        assert longer.thinking.startswith(sample.thinking + "Wait")
        assert longer.violations == ()


def test_tokens_that_the_model_does_not_have_are_refused(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    text = questions(1)[0]
    chain = loop.run(one(engine, request(text, Budget(20))))
    foreign = replace(chain, thinking_ids=(10**6,))
    with pytest.raises(Refused, match="parents holds token 1000000") as refused:
        loop.run(one(engine, request(text, Budget(40, extensions=1), parents=(foreign,))))
    assert refused.value.field == "parents"
