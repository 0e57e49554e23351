"""Which settings make a fine-tuning fit into the memory of a GPU."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from training.plan.architecture import Architecture
from training.plan.memory import Memory, Setup, memory

MOST_WORKERS = 4096
LENGTHS = 256
"""Lengths that are tried are multiples of this."""

Change = tuple[str, Setup]


def fits(model: Architecture, setup: Setup, usable: int) -> bool:
    return memory(model, setup).total <= usable


def changes_that_fit(model: Architecture, setup: Setup, usable: int, batch_size: int) -> list[str]:
    """Single changes of a setup that fit, as settings; if none does, the first few together.

    Empty if nothing here makes it fit. Cheap changes are first.
    """
    single = [text for text, changed in _changes(setup, batch_size) if fits(model, changed, usable)]
    if single:
        return _first_of_each(single)
    texts, held = [], setup
    for kind in _KINDS:
        best = min(kind(held, batch_size), key=lambda c: memory(model, c[1]).total, default=None)
        if best is None or memory(model, best[1]).total >= memory(model, held).total:
            continue
        smallest = next((c for c in kind(held, batch_size) if fits(model, c[1], usable)), best)
        texts.append(smallest[0])
        held = smallest[1]
        if fits(model, held, usable):
            return [", ".join(texts)]
    return []


def grid(model: Architecture, setup: Setup) -> Iterator[tuple[int, bool, Memory]]:
    """The memory of every ZeRO stage, with gradient checkpointing and without."""
    for stage in range(4):
        for checkpointing in (True, False):
            changed = replace(
                setup,
                zero_stage=stage,
                gradient_checkpointing=checkpointing,
                offload=setup.offload and stage > 0,
            )
            yield stage, checkpointing, memory(model, changed)


def _checkpointing(setup: Setup, _: int) -> Iterator[Change]:
    if not setup.gradient_checkpointing:
        yield (
            "training.gradient_checkpointing = true",
            replace(setup, gradient_checkpointing=True),
        )


def _rows(setup: Setup, _: int) -> Iterator[Change]:
    size = setup.micro_batch_size
    while size > 1:
        size = max(n for n in range(1, size) if setup.micro_batch_size % n == 0)
        yield f"training.micro_batch_size = {size}", replace(setup, micro_batch_size=size)


def _precision(setup: Setup, _: int) -> Iterator[Change]:
    if setup.precision == "fp32":
        yield 'training.precision = "bf16"', replace(setup, precision="bf16")


def _stages(setup: Setup, _: int) -> Iterator[Change]:
    for stage in range(setup.zero_stage + 1, 4):
        yield f"parallel.zero_stage = {stage}", replace(setup, zero_stage=stage)


def _offload(setup: Setup, _: int) -> Iterator[Change]:
    if not setup.offload and setup.zero_stage > 0:
        yield "parallel.offload = true", replace(setup, offload=True)


def _workers(setup: Setup, batch_size: int) -> Iterator[Change]:
    """Twice as many, and so on, as long as the batch divides by them."""
    workers = 2 * setup.workers
    while workers <= MOST_WORKERS and batch_size % (workers * setup.micro_batch_size) == 0:
        yield f"parallel.workers = {workers}", replace(setup, workers=workers)
        workers *= 2


def _length(setup: Setup, _: int) -> Iterator[Change]:
    for length in range((setup.length - 1) // LENGTHS * LENGTHS, 0, -LENGTHS):
        yield f"data.max_length = {length}", replace(setup, length=length)


_KINDS: tuple[Callable[[Setup, int], Iterator[Change]], ...] = (
    _checkpointing, _rows, _precision, _stages, _offload, _workers, _length,
)  # fmt: skip


def _changes(setup: Setup, batch_size: int) -> Iterator[Change]:
    for kind in _KINDS:
        yield from kind(setup, batch_size)


def _first_of_each(texts: list[str]) -> list[str]:
    """Of each setting only the smallest change."""
    kept: dict[str, str] = {}
    for text in texts:
        kept.setdefault(text.partition(" =")[0], text)
    return list(kept.values())
