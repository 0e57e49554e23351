"""The embedded verifier: its tokens, its shapes, and how it is loaded. No vLLM."""

import asyncio
import json
from pathlib import Path

import pytest

from workers.models import POCKET_FOLDER
from workers.verifier.base import Verifier
from workers.verifier.pocket import (
    CONFIG,
    POCKET_VERIFIER_FOLDER,
    WEIGHTS,
    PocketVerifier,
    StepTokenizer,
)
from workers.verifier.steps import step_ends

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

QUESTION = "a=3 b=a*7-2+5 c=b+4*3 c?"
THINKING = "a=3 *7-2=9+5 b=4 +4*3 c=4\nWait, check:\na=3 *7=1-2=9+5=4 b:4 ok so c=4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verifier with random weights."""
    from safetensors.torch import save_file

    from workers.verifier.network import StepScorer

    out = tmp_path_factory.mktemp("verifier")
    torch.manual_seed(0)
    scorer = StepScorer(transformers.AutoConfig.from_pretrained(POCKET_FOLDER))
    torch.nn.init.normal_(scorer.head.weight, std=0.02)
    save_file(scorer.state_dict(), out / WEIGHTS)
    (out / CONFIG).write_text((POCKET_FOLDER / CONFIG).read_text())
    return out


def test_a_step_s_token_is_the_one_that_ends_it() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET_FOLDER)
    tokens, places = StepTokenizer(tokenizer).encode(QUESTION, f"\n{THINKING}\n")
    text = tokenizer.decode(tokens)
    assert text.endswith(
        f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n<|im_start|>think\n{THINKING}"
    )
    ends = step_ends(THINKING)
    assert len(places) == len(ends)
    for place, end in zip(places, ends, strict=True):
        assert tokenizer.decode(tokens[: place + 1]).endswith(THINKING[:end])


def test_there_is_a_reward_for_every_step_of_every_thinking(folder: Path) -> None:
    verifier: Verifier = PocketVerifier(folder)
    thinkings = [THINKING, "", "a=3 *7=1", f"\n{THINKING}\n", "<|im_start|>answer 3+"]
    rewards = asyncio.run(verifier.score(QUESTION, thinkings))
    assert [len(each) for each in rewards] == [len(step_ends(each.strip())) for each in thinkings]
    assert rewards[1] == []
    assert rewards[3] == pytest.approx(rewards[0])
    assert all(0 <= reward <= 1 for each in rewards for reward in each)


def test_a_reward_does_not_depend_on_what_comes_later_or_beside_it(folder: Path) -> None:
    verifier = PocketVerifier(folder)
    (whole,) = verifier.score_pairs([(QUESTION, THINKING)])
    ends = step_ends(THINKING)
    prefixes = verifier.score_pairs([(QUESTION, THINKING[:end]) for end in ends])
    assert [prefix[-1] for prefix in prefixes] == pytest.approx(whole, abs=1e-5)
    assert len(set(whole)) > 3


def test_a_folder_without_a_verifier_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match=f"verifier '{tmp_path}' cannot be loaded"):
        PocketVerifier(tmp_path).score_pairs([(QUESTION, THINKING)])
    config = json.loads((folder / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"intermediate_size": 256}))
    (tmp_path / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes())
    with pytest.raises(ValueError, match="cannot be loaded: Error.* in loading state_dict"):
        PocketVerifier(tmp_path).score_pairs([(QUESTION, THINKING)])


def test_the_shipped_verifier_finds_a_wrong_step() -> None:
    assert (POCKET_VERIFIER_FOLDER / WEIGHTS).stat().st_size < 3_000_000
    right, wrong = "a=3 *7=1-2=9+5 b=4 +4*3 c=4", "a=3 *7=1-2=3+5 b=8 +4*3 c=6"
    good, bad = PocketVerifier().score_pairs([(QUESTION, right), (QUESTION, wrong)])
    assert good[1] == pytest.approx(bad[1], abs=1e-5)
    assert good[2] > 0.8 > 0.3 > bad[2]
    assert good[-1] > bad[-1]
