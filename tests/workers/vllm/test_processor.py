"""The processor keeps vLLM's laws: its batches move, and what it draws is what vLLM would draw.

No engine is started; importing vLLM takes seconds, so these tests are `real`.
"""

import warnings
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from workers.forcing import Chain, Forcing
from workers.format import S1, TokenFormat, bind
from workers.in_engine import KEY, order
from workers.models import POCKET_FOLDER

pytestmark = pytest.mark.real

INF = float("inf")


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """With everything that vLLM imports as it goes: torch warns of its own old parts in there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch._inductor.compile_fx  # noqa: F401

        import workers.vllm.processor  # noqa: F401


@pytest.fixture(scope="module")
def config() -> Any:
    from vllm.engine.arg_utils import EngineArgs

    return EngineArgs(
        str(POCKET_FOLDER), dtype="float32", enforce_eager=True
    ).create_engine_config()


@pytest.fixture(scope="module")
def format_(config: Any) -> TokenFormat:
    from vllm.tokenizers.registry import cached_tokenizer_from_config

    return bind(S1, cached_tokenizer_from_config(config.model_config), (2,))


@pytest.fixture
def processor(config: Any) -> Any:
    import torch

    from workers.vllm.processor import BudgetForcing

    return BudgetForcing(config, torch.device("cpu"), is_pin_memory=False)


def request(format_: TokenFormat, forcing: Forcing, **sampling: Any) -> Any:
    from vllm import SamplingParams

    return SamplingParams(
        **{"temperature": 0.0, **order(Chain(format_, forcing, 1000), 270), **sampling}
    )


def update(
    processor: Any,
    size: int,
    added: dict[int, tuple[Any, list[int]]] | None = None,
    removed: tuple[int, ...] = (),
    moved: tuple[tuple[int, int, str], ...] = (),
) -> None:
    from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

    processor.update_state(
        BatchUpdate(
            size,
            removed=removed,
            added=[(at, params, [5], output) for at, (params, output) in (added or {}).items()],
            moved=[(a, b, MoveDirectionality[how]) for a, b, how in moved],
        )
    )


def step(processor: Any, likeliest: list[int]) -> list[int]:
    """What a greedy sampler gets after the processor, row by row."""
    import torch

    logits = torch.zeros(len(likeliest), 270)
    logits[range(len(likeliest)), likeliest] = 5.0
    best: list[int] = processor.apply(logits).argmax(dim=-1).tolist()
    return best


def test_a_stop_is_replaced_until_the_extensions_are_used(
    processor: Any, format_: TokenFormat
) -> None:
    (stop,), wait, end = format_.stops, format_.extension, format_.end
    output: list[int] = []
    update(processor, 1, {0: (request(format_, Forcing(50, 2, 1)), output)})
    for _ in range(2):
        output += step(processor, [stop])
    assert stop not in output, "below the minimum"
    for _ in range(len(wait) + 1):
        output += step(processor, [stop])
    assert tuple(output[2:-1]) == wait
    assert output[-1] != stop, "right after an extension"
    for _ in end:
        output += step(processor, [stop])
    assert tuple(output[-len(end) :]) == end
    # The answer is the engine's own affair.
    assert step(processor, [stop]) == [stop]
    assert step(processor, [2]) == [2]


def test_a_token_that_is_thrown_away_counts_for_nothing(
    processor: Any, format_: TokenFormat
) -> None:
    (stop,) = format_.stops
    output: list[int] = []
    update(processor, 1, {0: (request(format_, Forcing(50, extensions=1)), output)})
    for _ in range(5):
        assert step(processor, [stop]) == [format_.extension[0]]
    output += step(processor, [7])
    assert output == [7]
    assert step(processor, [stop]) == [format_.extension[0]]


def test_rows_follow_their_requests(processor: Any, format_: TokenFormat) -> None:
    outputs: list[list[int]] = [[], [], []]
    cuts = [request(format_, Forcing(cap)) for cap in (1, 2, 3)]
    update(processor, 3, {at: (cuts[at], outputs[at]) for at in range(3)})
    closing = [*format_.newline, *format_.end_on_cut]
    at = [0, 1, 2]

    def go(steps: int) -> None:
        for _ in range(steps):
            for row, token in enumerate(step(processor, [9] * len(at))):
                outputs[at[row]].append(token)

    go(1)
    update(processor, 3, moved=((0, 2, "SWAP"),))
    at = [2, 1, 0]
    go(1)
    update(processor, 2, removed=(0,), moved=((2, 0, "UNIDIRECTIONAL"),))
    at = [0, 1]
    go(2)
    assert outputs[0] == [9, *closing[:3]]
    assert outputs[1] == [9, 9, *closing[:2]]
    assert outputs[2] == [9, 9]
    # Preempted, it comes back with the same parameters and perhaps a new list.
    update(processor, 3, {2: (cuts[2], [9, 9])})
    assert step(processor, [9, 9, 9])[2] == 9
    update(processor, 3, {2: (cuts[2], [9, 9, 9])}, removed=())
    assert step(processor, [8, 8, 8])[2] == closing[0]


def test_tokens_not_known_yet_are_read_when_they_are(processor: Any, format_: TokenFormat) -> None:
    output: list[int] = []
    update(processor, 1, {0: (request(format_, Forcing(1)), output)})
    output += step(processor, [9])
    step(processor, [9])
    output.append(-1)
    assert step(processor, [9]) == [format_.newline[0]]
    output[-1] = format_.newline[0]
    assert step(processor, [9]) == [format_.end_on_cut[0]]


def test_taking_tokens_back_is_an_error(processor: Any, format_: TokenFormat) -> None:
    output = [9, 9]
    update(processor, 1, {0: (request(format_, Forcing(5)), output)})
    step(processor, [9])
    output.pop()
    with pytest.raises(RuntimeError, match="2 were, 1 are left"):
        step(processor, [9])


def test_other_requests_pass_untouched(processor: Any, format_: TokenFormat) -> None:
    import torch
    from vllm import SamplingParams

    update(processor, 2, {0: (SamplingParams(), []), 1: (request(format_, Forcing(5)), [])})
    logits = torch.randn(2, 270)
    logits[1, 9] = 99.0
    assert torch.equal(processor.apply(logits.clone()), logits)


SETTINGS: list[dict[str, float]] = [
    {"temperature": 1.0},
    {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.3, "top_p": 0.9},
    {"temperature": 0.8, "min_p": 0.1, "top_p": 0.7, "top_k": 12},
]


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_a_stop_comes_as_often_as_vllm_draws_it(
    processor: Any, format_: TokenFormat, sampling: dict[str, float]
) -> None:
    """Against the distribution that vLLM's own sampler leaves, at 20,000 draws."""
    import torch
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    torch.manual_seed(3)
    draws = 20_000
    likely = torch.randn(270) * 2
    (stop,) = format_.stops
    likely[stop] = likely.max() - 0.5
    update(
        processor,
        draws,
        {at: (request(format_, Forcing(9, extensions=1), **sampling), []) for at in range(draws)},
    )
    forced = processor.apply(likely.expand(draws, -1).clone())
    assert ((forced > -INF).sum(dim=-1) == 1).all(), "one token a row is left"
    found = Counter(forced.argmax(dim=-1).tolist())

    logits = (likely / sampling["temperature"])[None]
    probabilities = logits.softmax(dim=-1)
    logits[probabilities < sampling.get("min_p", 0.0) * probabilities.max()] = -INF
    expected = apply_top_k_top_p(
        logits,
        torch.tensor([int(sampling.get("top_k", 270))]),
        torch.tensor([sampling.get("top_p", 1.0)]),
    ).softmax(dim=-1)[0]
    # The stop itself never shows: the extension does in its place.
    expected[format_.extension[0]] += expected[stop]
    expected[stop] = 0.0
    assert {*found} <= {*expected.nonzero().flatten().tolist()}
    shares = torch.tensor([found[token] for token in range(270)]) / draws
    deviation = (shares - expected).abs() / (expected * (1 - expected) / draws).sqrt().clamp(1e-9)
    assert deviation[expected > 0].max() < 5


def test_a_seed_repeats_its_draws(processor: Any, format_: TokenFormat) -> None:
    import torch

    def drawn(seed: int) -> list[int]:
        params = [request(format_, Forcing(9), temperature=1.0, seed=seed) for _ in range(2)]
        update(processor, 2, {0: (params[0], []), 1: (params[1], [])})
        both: list[int] = processor.apply(torch.zeros(2, 270)).argmax(dim=-1).tolist()
        return both

    (first, same), (other, _) = drawn(5), drawn(6)
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("repetition_penalty", 1.1),
        ("thinking_token_budget", 5),
        ("min_tokens", 1),
        ("n", 2),
    ],
)
def test_what_would_change_tokens_after_us_is_refused(
    format_: TokenFormat, field: str, value: Any
) -> None:
    from workers.vllm.processor import BudgetForcing

    params = request(format_, Forcing(9), temperature=1.0, **{field: value})
    with pytest.raises(ValueError, match=f"{field} must be .* in a forced request, got {value}"):
        BudgetForcing.validate_params(params)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"room": 5}, "must be a string of JSON"),
        ("{", "Expecting property name"),
        ("{}", "has the keys"),
    ],
)
def test_arguments_that_are_no_spec_are_refused(given: Any, why: str) -> None:
    from vllm import SamplingParams

    from workers.vllm.processor import BudgetForcing

    with pytest.raises(ValueError, match=why):
        BudgetForcing.validate_params(SamplingParams(extra_args={KEY: given}))
    BudgetForcing.validate_params(SamplingParams(extra_args={"other": given}))


def test_an_engine_that_cannot_force_says_why(config: Any, format_: TokenFormat) -> None:
    from workers.vllm.processor import why_not

    def changed(**changes: Any) -> Any:
        fields = ("use_v2_model_runner", "speculative_config", "kv_transfer_config", "model_config")
        return SimpleNamespace(**{name: getattr(config, name) for name in fields} | changes)

    assert why_not(config, format_) is None
    assert "model runner V2" in str(why_not(changed(use_v2_model_runner=True), format_))
    assert "speculative" in str(why_not(changed(speculative_config=object()), format_))
    assert "KV transfer" in str(why_not(changed(kv_transfer_config=object()), format_))
    strange = bind(replace(S1, end="So:", end_on_cut="So: "), format_.tokenizer, (2,))
    assert "must begin with one of the stops" in str(why_not(config, strange))
