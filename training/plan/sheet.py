"""The cost sheet of a fine-tuning: what `thinkbudget train plan` shows."""

from collections.abc import Iterator
from dataclasses import dataclass

from training.plan.accelerators import Accelerator
from training.plan.architecture import Architecture
from training.plan.compute import Rows, Time, duration, flops, mfu, occupancy
from training.plan.fitting import changes_that_fit, fits, grid
from training.plan.memory import GIB, Memory, Setup, memory


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the sheet shows is computed from these.

    `busy` is the utilisation (MFU) of a GPU that has rows to work on; waiting for other workers is
    added to it if the lengths of rows are known (`exact`). `price` is dollars for a GPU-hour.
    `measured` is tokens a second of all workers in a run of these settings.
    """

    name: str
    model: Architecture
    setup: Setup
    rows: Rows
    exact: bool
    accelerator: Accelerator
    busy: float
    price: float | None = None
    measured: float | None = None

    @property
    def memory(self) -> Memory:
        return memory(self.model, self.setup)

    @property
    def fits(self) -> bool:
        return fits(self.model, self.setup, self.accelerator.usable)

    @property
    def flops(self) -> float:
        return flops(self.model, self.rows)

    @property
    def occupancy(self) -> float:
        """The share of the workers' time that is of rows; 1 if the lengths are not known."""
        return occupancy(self.rows, self.setup) if self.exact else 1.0

    @property
    def mfu(self) -> float:
        """The utilisation of the whole run."""
        return self.busy * self.occupancy

    @property
    def time(self) -> Time:
        return duration(self.flops, self.rows, self.setup.workers, self.accelerator.flops, self.mfu)

    def mfu_of(self, gpu_hours: float) -> float:
        """The utilisation of a run that took so many hours of one GPU."""
        return mfu(self.flops, gpu_hours, self.accelerator.flops)

    @property
    def measured_mfu(self) -> float | None:
        """The utilisation of the run that was measured."""
        if self.measured is None:
            return None
        rate = self.flops / self.rows.tokens * self.measured
        return rate / (self.setup.workers * self.accelerator.flops)

    def changes(self) -> list[str]:
        """Settings that make it fit; empty if it fits, or if nothing here does."""
        if self.fits:
            return []
        usable = self.accelerator.usable
        return changes_that_fit(self.model, self.setup, usable, self.rows.batch_size)


def lines(plan: Plan) -> Iterator[str]:
    """The sheet, line by line."""
    yield from _what(plan)
    yield from _memory(plan)
    yield from _time(plan)


def figures(plan: Plan) -> dict[str, object]:
    """The sheet as JSON: bytes, seconds, FLOPs."""
    time = plan.time
    return {
        "model": {"name": plan.name, "parameters": plan.model.parameters},
        "rows": len(plan.rows.lengths),
        "steps": plan.rows.steps,
        "tokens": plan.rows.tokens,
        "gpu": plan.accelerator._asdict() | {"usable": plan.accelerator.usable},
        "workers": plan.setup.workers,
        "memory": plan.memory._asdict() | {"total": plan.memory.total},
        "fits": plan.fits,
        "changes_that_fit": plan.changes(),
        "flops": plan.flops,
        "occupancy": plan.occupancy if plan.exact else None,
        "mfu": plan.mfu,
        "seconds": time.seconds,
        "tokens_per_second": time.tokens_per_second,
        "measured": {"tokens_per_second": plan.measured, "mfu": plan.measured_mfu},
        "gpu_hours": time.gpu_hours,
        "dollars": None if plan.price is None else plan.price * time.gpu_hours,
    }


def _what(plan: Plan) -> Iterator[str]:
    model, rows, setup = plan.model, plan.rows, plan.setup
    count, per_epoch = len(rows.lengths), sum(rows.lengths)
    per_step = rows.batch_size * per_epoch / count
    yield (
        f"model       {plan.name}: {_short(model.parameters)} parameters, {model.layers} layers, "
        f"vocabulary {model.vocabulary}"
    )
    longest = f"longest {max(rows.lengths)}" if plan.exact else "lengths not known"
    yield f"rows        {count} of {per_epoch / count:.0f} tokens on average, {longest}"
    yield (
        f"steps       {rows.steps} in {rows.epochs:g} epochs, {rows.batch_size} rows and about "
        f"{per_step:.0f} tokens each, {_short(rows.tokens)} tokens in all"
    )
    yield (
        f"GPUs        {setup.workers} x {plan.accelerator.name}: "
        f"{plan.accelerator.flops / 1e12:.4g} TFLOP/s in {setup.precision}, "
        f"{_gib(plan.accelerator.usable)} of {_gib(plan.accelerator.memory)} GiB for tensors"
    )


def _memory(plan: Plan) -> Iterator[str]:
    held, setup = plan.memory, plan.setup
    size = f"{setup.micro_batch_size} x {setup.length}"
    yield f"GiB a GPU   at {size} tokens, ZeRO {setup.zero_stage}"
    for name in ("parameters", "gradients", "optimizer", "buffers", "activations", "logits"):
        yield f"  {name:<12}{_gib(getattr(held, name)):>8}"
    step = "while the optimizer steps" if held.step > held.activations + held.logits else ""
    yield f"  {'peak':<12}{_gib(held.total):>8}  {step}".rstrip()
    if held.host:
        yield f"  {'CPU memory':<12}{_gib(held.host):>8}  for each worker"
    yield "  peak by ZeRO stage, with gradient checkpointing / without:"
    peaks = {(stage, on): _gib(each.total) for stage, on, each in grid(plan.model, setup)}
    yield "  " + "   ".join(f"{s}: {peaks[s, True]} / {peaks[s, False]}" for s in range(4))
    if plan.fits:
        yield "fits"
        return
    changes = plan.changes()
    yield (
        f"does not fit; it would with {' or '.join(changes)}"
        if changes
        else ("does not fit, and no setting makes it fit: take a larger GPU or a smaller model")
    )


def _time(plan: Plan) -> Iterator[str]:
    time = plan.time
    yield f"FLOPs       {plan.flops:.3g}"
    waiting = f"{plan.busy:.1%} while busy, {plan.occupancy:.0%} of the time" if plan.exact else ""
    yield f"MFU         {plan.mfu:.1%}{f' ({waiting})' if waiting else ''}"
    yield (
        f"time        {_span(time.seconds)}: {time.gpu_hours:.3g} GPU-hours, "
        f"{time.tokens_per_second:.0f} tokens/s"
    )
    if plan.measured_mfu is not None:
        yield f"measured    {plan.measured:.0f} tokens/s, an MFU of {plan.measured_mfu:.1%}"
    if plan.price is not None:
        yield f"price       {plan.price * time.gpu_hours:.2f} dollars at {plan.price:g} a GPU-hour"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}" if size >= GIB / 10 else f"{size / GIB:.4f}"


def _short(count: int) -> str:
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.4g}{letter}"
    return str(count)


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
