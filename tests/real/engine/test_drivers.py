"""Every driver gives the same tokens as every other, and as a plain loop written down for it.

On the embedded model, and on a random one that wanders, whose KV cache is so small that chains are
preempted again and again. Greedy; 40 prompts in every configuration.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from tests.real.engine.wandering import build
from tests.workers.forcing.reference_loops import Config, ReferenceReply, clean, harness, readme
from workers.drivers.chain_engine import ChainEngine
from workers.drivers.core import GenerateOptions
from workers.drivers.driver import DRIVERS
from workers.drivers.token_text import whole_letters
from workers.engine import SampleRequest
from workers.forcing.chain import GenerateCall
from workers.models import POCKET_FOLDER
from workers.sample import Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

PROMPTS = 40
CONTEXT = 640
LEAST_PREEMPTIONS = 100
# A chain of this length is in its second block: 64 of them do not fit.
LONG = 160
# Room for some 60 blocks of 128 tokens.
KV_CACHE_GIB = 16 / 1024


def _mixed(seed: int) -> Callable[[int], Budget]:
    def budget(number: int) -> Budget:
        rng = Random(f"{seed}/{number}")
        cap = rng.randint(1, LONG)
        return Budget(
            cap,
            min_thinking_tokens=rng.choice((0, 0, rng.randint(0, cap - 1))),
            extensions=rng.randint(0, 8),
            extension_text=rng.choice((None, None, "Hmm", "\nWait, ")),
            answer_tokens=rng.randint(1, 60),
        )

    return budget


def _same(budget: Budget) -> Callable[[int], Budget]:
    return lambda number: budget


CONFIGS: dict[str, Callable[[int], Budget]] = {
    f"cap {cap}, {waits} Waits, at least {least}": _same(
        Budget(cap, least, waits, answer_tokens=16)
    )
    for cap, waits, least in (
        (1, 0, 0),
        (3, 2, 0),
        (64, 2, 0),
        (LONG, 8, 0),
        (100, 0, 60),
        (LONG, 3, 80),
    )
} | {f"mixed {seed}": _mixed(seed) for seed in range(2)}


class Setting(NamedTuple):
    """An engine, and what its core says of itself, where it was asked to."""

    engine: ChainEngine
    core: Any = None


@pytest.fixture(scope="module")
def pocket(engine: ChainEngine) -> Setting:
    return Setting(engine)


@pytest.fixture(scope="module")
def wandering(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    from tests.real.engine.core_statistics import Statistics
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    folder = build(tmp_path_factory.mktemp("wandering"))
    options = VllmOptions(str(folder), max_model_len=CONTEXT, kv_cache_gib=KV_CACHE_GIB)
    seen = Statistics()

    async def start() -> VllmEngine:
        return VllmEngine(options, format_="s1", stat_loggers=[seen])

    engine = loop.run(start())
    yield Setting(engine, seen)
    loop.run(engine.close())


@pytest.fixture(scope="module", params=["pocket", "wandering"])
def setting(request: pytest.FixtureRequest) -> Setting:
    found: Setting = request.getfixturevalue(request.param)
    return found


def questions() -> list[str]:
    lines = (POCKET_FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines[:: len(lines) // PROMPTS]][:PROMPTS]


class Facts(NamedTuple):
    """What two ways of running a chain have to agree on."""

    thinking: tuple[int, ...]
    text: str
    extensions: int
    cut: bool


async def run(engine: ChainEngine, driver: str, budget: Callable[[int], Budget]) -> list[Facts]:
    driven = ChainEngine(engine.core, engine.format, replace(engine.options, driver=driver))

    async def one(number: int, question: str) -> Facts:
        wanted = SampleRequest(
            f"{driver}-{number}", (("user", question),), (0,), budget(number), SamplingParams(0.0)
        )
        *_, last = [event async for event in driven.sample(wanted)]
        assert isinstance(last, Sample)
        assert last.violations == ()
        return facts(last)

    return await asyncio.gather(*(one(n, text) for n, text in enumerate(questions())))


def facts(sample: Sample) -> Facts:
    cut = sample.stop_cause in ("max_thinking", "context")
    return Facts(sample.thinking_ids, sample.text, sample.extensions, cut)


async def refer(
    engine: ChainEngine,
    written_down: Callable[..., ReferenceReply],
    budget: Callable[[int], Budget],
) -> list[Facts]:
    """The plain loop on every prompt, each in a thread of its own, over bare generation."""
    core, format_ = engine.core, engine.format

    def config(number: int, prompt: list[int]) -> Config:
        wanted = budget(number)
        strings = format_.strings
        closing = len(format_.newline) + len(format_.end_on_cut)
        text = strings.extension_text if wanted.extension_text is None else wanted.extension_text
        return Config(
            encode=lambda text: list(format_.encode(text)),
            decode=format_.decode,
            stops=sorted(format_.stops | format_.end_of_turn),
            end_of_turn=sorted(format_.end_of_turn),
            cap=wanted.max_thinking_tokens,
            minimum=wanted.min_thinking_tokens,
            ignore=wanted.extensions or None,
            ignore_text=text,
            answer_tokens=wanted.answer_tokens,
            room=core.max_model_len - len(prompt) - closing - wanted.answer_tokens,
            start=strings.start,
            end=strings.end,
            end_on_cut=strings.end_on_cut.removeprefix(strings.end),
        )

    running = asyncio.get_running_loop()

    def one(number: int, question: str) -> Facts:
        prompt = engine.prompter.tokens((("user", question),))
        calls = iter(range(1_000_000))

        def generate(
            tokens: list[int], most: int, least: int, stops: list[int]
        ) -> tuple[list[int], str]:
            call = GenerateCall(most, least, frozenset(stops))
            name = f"plain-{number}-{next(calls)}"
            made = _collect(
                core.generate(name, tokens, call, GenerateOptions(SamplingParams(temperature=0)))
            )
            return asyncio.run_coroutine_threadsafe(made, running).result()

        reply = written_down(generate, prompt, config(number, prompt))
        forced = list(format_.end_on_cut[len(format_.end) :]) if reply.closing else []
        head = forced if reply.cut else []
        # What is shown ends with a whole character.
        text = whole_letters(format_.decode([*head, *reply.answer])).strip()
        return Facts(tuple(reply.thinking), text, reply.extensions, reply.cut)

    pool = ThreadPoolExecutor(PROMPTS)
    work = [running.run_in_executor(pool, one, n, t) for n, t in enumerate(questions())]
    found = await asyncio.gather(*work)
    pool.shutdown()
    return found


def together(loop: asyncio.Runner, *ways: Awaitable[list[Facts]]) -> list[list[Facts]]:
    """All ways at once: they crowd the same engine, whatever one of them leaves free of it."""

    async def all_of_them() -> list[list[Facts]]:
        return await asyncio.gather(*ways)

    return loop.run(all_of_them())


async def _collect(pieces: Any) -> tuple[list[int], str]:
    tokens: list[int] = []
    finish = "length"
    async for piece in pieces:
        tokens += piece.tokens
        finish = piece.finish or finish
    return tokens, finish


@pytest.mark.parametrize("name", CONFIGS)
def test_all_drivers_give_the_tokens_of_the_plain_loop(
    loop: asyncio.Runner, setting: Setting, name: str
) -> None:
    expected, *driven = together(
        loop,
        refer(setting.engine, clean, CONFIGS[name]),
        *(run(setting.engine, driver, CONFIGS[name]) for driver in DRIVERS),
    )
    for driver, found in zip(DRIVERS, driven, strict=True):
        assert sum(a == b for a, b in zip(expected, found, strict=True)) == PROMPTS, driver


def test_chains_were_preempted_again_and_again_meanwhile(wandering: Setting) -> None:
    print(f"{wandering.core.preemptions} preemptions")
    assert wandering.core.preemptions >= LEAST_PREEMPTIONS


def test_cancelled_chains_free_their_kv_cache(loop: asyncio.Runner, wandering: Setting) -> None:
    engine, core = wandering.engine, wandering.core
    budget = Budget(500, 500, answer_tokens=16)
    wanted = SampleRequest("freed", (("user", questions()[0]),), tuple(range(8)), budget)

    async def scenario() -> tuple[float, float]:
        async def watch() -> list[Sample]:
            return [event async for event in engine.sample(wanted) if isinstance(event, Sample)]

        running = asyncio.create_task(watch())
        while core.running < 8 or core.kv_usage < 0.2:
            await asyncio.sleep(0.01)
        full = core.kv_usage
        for number in range(7):
            await engine.cancel("freed", number)
        while core.running > 1:
            await asyncio.sleep(0.01)
        freed = core.kv_usage
        await engine.cancel("freed")
        assert {sample.stop_cause for sample in await running} == {"cancelled"}
        return full, freed

    full, freed = loop.run(asyncio.wait_for(scenario(), 60))
    assert freed < full / 2


@pytest.mark.parametrize("cap, waits", [(1, 1), (32, 0), (64, 2), (LONG, 8)])
def test_harness_compat_gives_the_tokens_of_the_papers_evaluation_code(
    loop: asyncio.Runner, setting: Setting, cap: int, waits: int
) -> None:
    wanted = Budget(cap, extensions=waits, answer_tokens=40, harness_compat=True)
    expected, found = together(
        loop,
        refer(setting.engine, harness, _same(wanted)),
        run(setting.engine, "reprompt", _same(wanted)),
    )
    assert found == expected


# Bytes that are no text grow to three tokens each when they are tokenised anew, so no large caps.
@pytest.mark.parametrize("cap, waits", [(2, 1), (32, 0), (100, 3)])
def test_readme_compat_gives_the_tokens_of_the_papers_readme(
    loop: asyncio.Runner, setting: Setting, cap: int, waits: int
) -> None:
    wanted = Budget(cap, extensions=waits, answer_tokens=40, readme_compat=True)
    expected, found = together(
        loop,
        refer(setting.engine, readme, _same(wanted)),
        run(setting.engine, "reprompt", _same(wanted)),
    )
    assert [f._replace(cut=False) for f in found] == [f._replace(cut=False) for f in expected]
