"""The training data as tensors: which batch a process sees at which step is fixed by the seed."""

import random
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from training.pocket.examples import KINDS, Piece, draw_example
from training.pocket.tokenizer import build_tokenizer

BATCHES_PER_POOL = 40
TOKENS_PER_BATCH = 3072
EARLY_SHARE = 0.15
EARLY_LONGEST = 5
LONGEST = 8

KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


class TrainingBatch(NamedTuple):
    """Padded rows of token ids, and of each token's kind as an index into `KINDS`."""

    tokens: Tensor
    kinds: Tensor


@cache
def token_ids() -> dict[str, int]:
    """The one token of every text a piece can have."""
    tokenizer = build_tokenizer()
    texts = [*map(chr, range(128)), *tokenizer.get_added_vocab()]
    return {text: tokenizer.encode(text)[0] for text in texts}


def draw_pool(rng: random.Random, *, longest: int) -> list[TrainingBatch]:
    """Batches of about equal size, each of examples of about equal length, in random order."""
    examples: list[list[Piece]] = []
    tokens = 0
    while tokens < BATCHES_PER_POOL * TOKENS_PER_BATCH:
        examples.append(draw_example(rng, longest=longest))
        tokens += len(examples[-1])
    examples.sort(key=len)
    seen = 0

    def batch_number(example: list[Piece]) -> int:
        nonlocal seen
        number = seen * BATCHES_PER_POOL // tokens
        seen += len(example)
        return number

    batches = [to_batch(list(group)) for _, group in groupby(examples, batch_number)]
    rng.shuffle(batches)
    return batches


def to_batch(examples: list[list[Piece]]) -> TrainingBatch:
    ids = token_ids()
    width = max(map(len, examples))
    # Padding is token 0 of kind 0, which is "given": no loss.
    tokens = torch.zeros(len(examples), width, dtype=torch.long)
    kinds = torch.zeros(len(examples), width, dtype=torch.long)
    for row, example in enumerate(examples):
        tokens[row, : len(example)] = torch.tensor([ids[piece.text] for piece in example])
        kinds[row, : len(example)] = torch.tensor([KIND_NUMBERS[piece.kind] for piece in example])
    return TrainingBatch(tokens, kinds)


def batches(*, seed: int, rank: int, first_step: int, steps: int) -> Iterator[TrainingBatch]:
    """The batches of one process from `first_step` on; short questions come first."""
    pool: list[TrainingBatch] = []
    for step in range(first_step, steps):
        number, place = divmod(step, BATCHES_PER_POOL)
        if not pool or place == 0:
            is_early = number * BATCHES_PER_POOL < EARLY_SHARE * steps
            rng = random.Random(f"training {seed} {rank} {number}")
            pool = draw_pool(rng, longest=EARLY_LONGEST if is_early else LONGEST)
        yield pool[place]
