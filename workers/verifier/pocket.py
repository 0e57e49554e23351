"""The embedded verifier of s1-pocket's questions: a million parameters, on the processor."""

import asyncio
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.format import S1
from workers.models import POCKET_FOLDER
from workers.prompt import Prompter
from workers.verifier.steps import step_ends

if TYPE_CHECKING:
    from workers.verifier.network import StepScorer

POCKET_VERIFIER_FOLDER = Path(__file__).parents[1] / "pocket_verifier"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENS_PER_BATCH = 16384


class StepTokenizer:
    """Question and thinking as s1-pocket reads them, and the tokens that end steps."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._prompter = Prompter(tokenizer, S1)
        self._prompt = lru_cache(64)(self._tokens)  # the chains of a question come together

    def encode(self, question: str, thinking: str) -> tuple[list[int], list[int]]:
        """Token ids, and for every step of the thinking the index of its last token."""
        text = self._prompter.neutralise(thinking.strip())
        prompt = self._prompt(question)
        encoded = self._tokenizer(
            f"\n{text}", add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        places, at = [], 0
        for end in step_ends(text):
            while spans[at][1] < end + 1:  # the newline before the text is one character
                at += 1
            places.append(len(prompt) + at)
        return [*prompt, *encoded["input_ids"]], places

    def _tokens(self, question: str) -> list[int]:
        return self._prompter.tokens([("user", question)])


class PocketVerifier:
    """A `Verifier` whose weights are loaded at its first use, and run in a thread of their own.

    `folder` holds `config.json` and `model.safetensors`, as `thinkbudget train verifier` writes
    them. Raises ValueError at the first use if it does not.
    """

    def __init__(self, folder: Path = POCKET_VERIFIER_FOLDER) -> None:
        self._folder = folder
        self._loaded: tuple[StepScorer, StepTokenizer] | None = None
        self._lock = threading.Lock()

    async def score(self, question: str, thinkings: Sequence[str]) -> list[list[float]]:
        """The rewards of every step of every thinking, as `Verifier` says."""
        pairs = [(question, thinking) for thinking in thinkings]
        return await asyncio.to_thread(self.score_pairs, pairs)

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """The same for pairs of a question and a thinking; blocks until they are scored."""
        import torch

        from workers.verifier.network import padded

        with self._lock:
            scorer, tokenizer = self._loaded = self._loaded or self._load()
        rows = [tokenizer.encode(*pair) for pair in pairs]
        rewards: list[list[float]] = [[] for _ in rows]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]))
        while order:
            width = len(rows[order[-1]][0])
            batch = order[-max(1, TOKENS_PER_BATCH // width) :]
            del order[-len(batch) :]
            with torch.inference_mode():
                chances = scorer(*padded([rows[row] for row in batch])).sigmoid()
            for row, found in zip(batch, chances, strict=True):
                rewards[row] = found[rows[row][1]].tolist()
        return rewards

    def _load(self) -> "tuple[StepScorer, StepTokenizer]":
        import transformers
        from safetensors.torch import load_file

        from workers.verifier.network import StepScorer

        try:
            config = transformers.AutoConfig.from_pretrained(self._folder)
            scorer = StepScorer(config)
            weights = load_file(self._folder / WEIGHTS)
            scorer.load_state_dict({name: value.float() for name, value in weights.items()})
        except (OSError, ValueError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0]
            raise ValueError(f"verifier {str(self._folder)!r} cannot be loaded: {first}") from None
        tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET_FOLDER)
        return scorer.eval(), StepTokenizer(tokenizer)
