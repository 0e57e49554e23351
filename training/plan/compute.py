"""FLOPs and time of a fine-tuning.

A token costs 6 FLOPs for each parameter that it is multiplied with (Kaplan et al. 2020: 2 forward,
4 backward), and attention costs 6 for each token that it looks back at, each query width and each
layer twice. Recomputed activations are not counted: utilisation (MFU) is the share of the peak that
these FLOPs come to, as in PaLM (arXiv 2204.02311, appendix B).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.plan.architecture import Architecture
from training.plan.memory import Setup

GROUP_BATCHES = 50
"""Batches among which rows of like length are grouped (transformers' LengthGroupedSampler)."""


class Rows(NamedTuple):
    """What is trained on: tokens of every row, epochs, rows of a step."""

    lengths: Sequence[int]
    epochs: float
    batch_size: int
    group_by_length: bool = False
    seed: int = 0

    @property
    def steps(self) -> int:
        """Updates in all; the last batch of an epoch may be smaller."""
        return math.ceil(self.epochs * math.ceil(len(self.lengths) / self.batch_size))

    @property
    def tokens(self) -> int:
        """Tokens of all epochs."""
        return round(self.epochs * sum(self.lengths))


class Time(NamedTuple):
    """Seconds of wall time, hours of all GPUs together, and tokens a second of all of them."""

    seconds: float
    gpu_hours: float
    tokens_per_second: float


def flops(model: Architecture, rows: Rows) -> float:
    """FLOPs of all epochs."""
    per_token = 6.0 * model.multiplied_parameters
    looked_back = sum(float(n) * n for n in rows.lengths) / 2  # causal: half of the square
    attention = 12.0 * model.layers * model.query * looked_back
    return rows.epochs * (per_token * sum(rows.lengths) + attention)


def duration(total: float, rows: Rows, workers: int, peak: float, mfu: float) -> Time:
    """The time that so many FLOPs take at a share of the peak of every worker."""
    seconds = total / (workers * peak * mfu)
    return Time(seconds, workers * seconds / 3600, rows.tokens / seconds)


def mfu(total: float, gpu_hours: float, peak: float) -> float:
    """The utilisation at which so many FLOPs take so many hours of one GPU."""
    return total / (gpu_hours * 3600 * peak)


def occupancy(rows: Rows, setup: Setup) -> float:
    """The share of the workers' tokens that are of rows, in one shuffled epoch.

    The others are padding to the longest row at a worker, and waiting for the longest at another:
    in each pass in stage 3, which gathers every layer; at the end of a step in the others. An
    utilisation that was measured has this in it.
    """
    lengths = _in_order(rows)
    per_pass = setup.workers * setup.micro_batch_size
    filled = np.zeros(-(-len(lengths) // rows.batch_size) * rows.batch_size, dtype=np.int64)
    filled[: len(lengths)] = lengths
    passes = filled.reshape(-1, rows.batch_size // per_pass, setup.workers, setup.micro_batch_size)
    padded = passes.max(axis=3) * setup.micro_batch_size
    if setup.zero_stage == 3:
        spent = padded.max(axis=2).sum()
    else:
        spent = padded.sum(axis=1).max(axis=1).sum()
    return float(lengths.sum() / (spent * setup.workers))


def _in_order(rows: Rows) -> NDArray[np.int64]:
    lengths = np.random.default_rng(rows.seed).permutation(np.array(rows.lengths, dtype=np.int64))
    if rows.group_by_length:
        size = GROUP_BATCHES * rows.batch_size
        groups = [lengths[at : at + size] for at in range(0, len(lengths), size)]
        lengths = np.concatenate([np.sort(group)[::-1] for group in groups])
    return lengths
