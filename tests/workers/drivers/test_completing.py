"""Completions on a core: text to the letter, stops, log-probabilities, and refusals."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from policies.sampling import SamplingParams
from tests.builders import changed
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.drivers.core import LEAST, CoreDied, GenerateOptions, OutputDelta, TokenLogprobs
from workers.drivers.token_text import scored, spelling
from workers.engine import Refused
from workers.forcing.chain import GenerateCall
from workers.format import S1, bind
from workers.models import POCKET_FOLDER
from workers.sample import Accepted
from workers.simulated.toy_core import ToyCore


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(str(POCKET_FOLDER), local_files_only=True)


class Reciting(ToyCore):
    """Says one text, token by token, then ends its turn; or dies."""

    def __init__(self, tokenizer: Any, text: str, *, dies: bool = False) -> None:
        super().__init__(bind(S1, tokenizer), [5], vocabulary=len(tokenizer), max_model_len=64)
        self.says = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        self.dies, self.asked = dies, list[tuple[GenerateCall, GenerateOptions]]()

    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, sampling: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        self.asked.append((call, sampling))
        for made, token in enumerate(self.says, start=1):
            if self.dies and made == 3:
                raise CoreDied("killed")
            ended = token in call.stops
            finish: Any = "stop" if ended else "length" if made == call.max_tokens else None
            yield OutputDelta((token,), finish)
            if finish:
                return


def run(core: ToyCore, **fields: Any) -> list[CompletionEvent]:
    engine = ChainEngine(core, bind(S1, core.tokenizer), ChainOptions("toy"))

    async def main() -> list[CompletionEvent]:
        request = changed(CompletionRequest("q", "a b", max_tokens=50), **fields)
        events = [event async for event in engine.complete(request)]
        assert (await engine.load()).running == 0
        return events

    return asyncio.run(main())


def text_of(events: list[CompletionEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, CompletionText))


@pytest.mark.parametrize("text", ["c=3 d=c+4", "Größe 数 🙂 é", "  two  spaces\n", ""])
def test_what_the_model_says_comes_out_as_it_is(tokenizer: Any, text: str) -> None:
    core = Reciting(tokenizer, text)
    events = run(core)
    assert isinstance(events[0], Accepted)
    assert text_of(events) == text
    assert events[-1] == Completed("stop", len(core.says))


def test_a_length_is_kept(tokenizer: Any) -> None:
    events = run(Reciting(tokenizer, "abcdefgh"), max_tokens=3)
    assert events[-1] == Completed("length", 3)


def test_the_text_ends_before_a_stop_that_is_spread_over_tokens(tokenizer: Any) -> None:
    events = run(Reciting(tokenizer, "a=3 STO STOP b=4"), stop=("STOP", "never"))
    assert text_of(events) == "a=3 STO "
    last = events[-1]
    assert isinstance(last, Completed) and last.finish == "stop"


def test_the_beginning_of_a_stop_that_never_comes_is_text(tokenizer: Any) -> None:
    assert text_of(run(Reciting(tokenizer, "a=3 STO"), stop=("STOP",))) == "a=3 STO"


def test_nothing_of_a_stop_is_ever_shown(tokenizer: Any) -> None:
    shown = ""
    for event in run(Reciting(tokenizer, "xSTOSTOP"), stop=("STOP",)):
        if isinstance(event, CompletionText):
            shown += event.text
            assert "xSTO".startswith(shown)
    assert shown == "xSTO"


def test_an_end_of_turn_can_be_ignored(tokenizer: Any) -> None:
    core = Reciting(tokenizer, "ab")
    run(core, ignore_eos=True)
    ((call, sampling),) = core.asked
    assert call.stops == frozenset() and sampling.ignore_end_of_turn


def test_wishes_reach_the_core(tokenizer: Any) -> None:
    core = Reciting(tokenizer, "ab")
    run(core, temperature=0.3, top_p=0.9, seed=4, priority=-2, cache_salt="ours", live=True)
    ((_, sampling),) = core.asked
    assert sampling == GenerateOptions(
        SamplingParams(0.3, top_p=0.9, seed=4, priority=-2, cache_salt="ours"), live=True
    )


def test_a_core_that_dies_is_a_lost_text(tokenizer: Any) -> None:
    *_, last = run(Reciting(tokenizer, "abcdef", dies=True))
    assert last == Completed("lost", 2)


def toy(tokenizer: Any) -> ToyCore:
    words = tokenizer.encode("abc +1", add_special_tokens=False)
    return ToyCore(bind(S1, tokenizer), words, vocabulary=len(tokenizer), max_model_len=64)


def test_an_echo_is_scored_from_its_second_token_on(tokenizer: Any) -> None:
    prompt = tokenizer.encode("a=1 b=2")
    _, echo, *pieces, last = run(toy(tokenizer), prompt=tuple(prompt), max_tokens=5, logprobs=1,
                                 echo=True, ignore_eos=True)  # fmt: skip
    assert isinstance(echo, CompletionText) and echo.text == "a=1 b=2"
    assert [token.logprob is None for token in echo.scores] == [True] + [False] * (len(prompt) - 1)
    made = [token for piece in pieces for token in piece.scores]  # type: ignore[union-attr]
    assert len(made) == 5 and last == Completed("length", 5)
    assert all(len(token.top) == 1 for token in made)


def test_a_prompt_can_be_scored_without_saying_anything(tokenizer: Any) -> None:
    accepted, echo, last = run(toy(tokenizer), max_tokens=0, logprobs=0, echo=True)
    assert isinstance(echo, CompletionText) and echo.text == "a b"
    assert last == Completed("length", 0)
    assert isinstance(accepted, Accepted) and accepted.prompt_tokens == len(echo.scores)


def test_the_same_seed_says_the_same(tokenizer: Any) -> None:
    def said(seed: int) -> str:
        return text_of(run(toy(tokenizer), seed=seed, max_tokens=30, ignore_eos=True))

    assert said(3) == said(3)
    assert len({said(seed) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": (10**6,)}, "prompt", "invalid_value"),
        ({"prompt": "\ud800"}, "prompt", "invalid_value"),
        ({"prompt": (5,) * 64}, "prompt", "context_length_exceeded"),
        ({"max_tokens": 64}, "max_tokens", "context_length_exceeded"),
    ],
)
def test_what_does_not_fit_is_refused(
    tokenizer: Any, fields: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        run(toy(tokenizer), **fields)
    assert (refused.value.field, refused.value.code) == (field, code)


def test_bytes_of_tokens_add_up_to_the_text(tokenizer: Any) -> None:
    text = "Größe 数 🙂\n<|im_end|>"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(spelling(tokenizer, token)[1] for token in ids).decode() == text


def test_what_cannot_come_has_a_number_that_json_knows(tokenizer: Any) -> None:
    never = TokenLogprobs(float("-inf"), (-0.0, float("-inf")), (5, 6))
    (token,) = scored(tokenizer, [(5, never)], 2)
    assert token.logprob == LEAST
    assert [value for _, value in token.top] == [0.0, LEAST]
