"""Which of two modes a server is in, where it runs with its engine on two cores.

vLLM's own server and ray.serve.llm were seen to answer 16 or more streams at one of two rates, a
factor of two to three apart. Why is not known. In the slow mode the engine's batches held
about a third of the requests in flight (`vllm:iteration_tokens_total`). One hypothesis: vLLM's core
and its worker wait for each other by spinning, on the two cores that the HTTP process needs.

A comparison means something only if it says which mode the other server was in.
"""

from collections.abc import Sequence
from typing import Literal

Mode = Literal["fast", "slow"]
BATCHED = 6.0
"""In the fast mode a server of 16 or more streams is at least so many times as fast as of one.

Seen on two cores, not always idle ones: 8 to 14 in the fast mode, 3 to 5 in the slow one.
"""
APART = 1.5
"""Rates of two modes differ by more than this factor; rates within one by less."""


def modes(rates: Sequence[float], one_stream: float) -> list[Mode]:
    """The mode of each rate, all of one server under one load of 16 or more streams.

    Rates are tokens per second; `one_stream` is the server's rate with one stream, which is the
    same in both modes. A server that was slow every time is not taken for a fast one.
    """
    fast_from = max([BATCHED * one_stream, *(rate / APART for rate in rates)])
    return ["fast" if rate >= fast_from else "slow" for rate in rates]


def distribution(rates: Sequence[float], found: Sequence[Mode]) -> str:
    """How often each mode was seen, and the range of its rates."""
    parts = []
    for mode in ("fast", "slow"):
        here = [rate for rate, one in zip(rates, found, strict=True) if one == mode]
        if here:
            spread = f"{min(here):.0f} to {max(here):.0f} tok/s"
            parts.append(f"{mode} mode {len(here)} of {len(rates)} ({spread})")
    return ", ".join(parts)
