"""GPUs by name, and the CPU of this machine as measured.

FLOPs are dense bf16 of the tensor cores and fp32 without them, memory is that of the card, all as
NVIDIA's data sheets state them.
"""

import time
from typing import NamedTuple

from training.plan.memory import GIB

USABLE = 0.92
"""The share of a card's memory that tensors can have: the rest is CUDA's, and fragments."""


class Accelerator(NamedTuple):
    """`flops` a second; `memory` in bytes."""

    name: str
    flops: float
    memory: int

    @property
    def usable(self) -> int:
        return int(self.memory * USABLE)


class Card(NamedTuple):
    """FLOPs a second by precision; memory in bytes."""

    name: str
    bf16: float
    fp32: float
    memory: int

    def at(self, precision: str) -> Accelerator:
        rate = self.bf16 if precision == "bf16" else self.fp32
        return Accelerator(self.name, rate, self.memory)


CARDS = {
    "h100": Card("H100 SXM", 989e12, 67e12, 80 * GIB),
    "h200": Card("H200 SXM", 989e12, 67e12, 141 * GIB),
    "a100": Card("A100 SXM 80 GB", 312e12, 19.5e12, 80 * GIB),
    "a100-40gb": Card("A100 SXM 40 GB", 312e12, 19.5e12, 40 * GIB),
    "l40s": Card("L40S", 362e12, 91.6e12, 48 * GIB),
}


def measured_cpu(threads: int, precision: str, workers: int) -> Accelerator:
    """So many cores of this machine: the rate of a large matrix product, and a share of memory."""
    import psutil
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rate = _product_rate(torch.bfloat16 if precision == "bf16" else torch.float32)
    finally:
        torch.set_num_threads(before)
    memory = psutil.virtual_memory().total // workers
    return Accelerator(f"{threads} CPU cores, measured", rate, memory)


def _product_rate(dtype: object, size: int = 1024, seconds: float = 0.5) -> float:
    """FLOPs a second of products of square matrices, the best of all that fit into the time."""
    import torch

    matrix = torch.ones(size, size).to(dtype)  # type: ignore[call-overload]
    best, ends = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        matrix @ matrix
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best
