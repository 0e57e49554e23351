"""Follows a training run: metrics to a file and to Ray, and the seal of every checkpoint."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed
from transformers import TrainerCallback

from training.sft.checkpoints import seal

Report = Callable[[Mapping[str, float]], None]


class Follow(TrainerCallback):  # type: ignore[misc]
    """One line a log step into `metrics.jsonl`, by the first worker; `report` in every worker.

    A line holds `step`, `steps`, `epoch`, `loss`, `learning_rate`, `tokens` (trained since the
    beginning, padding not counted), `tokens_per_second` (since this run began) and `grad_norm`,
    which ZeRO stage 0 does not give.
    """

    def __init__(
        self, file: Path, report: Report, *, is_first: bool, workers: int, zero_stage: int
    ) -> None:
        self._file, self._report, self._is_first = file, report, is_first
        self._workers, self._zero_stage = workers, zero_stage
        self._began, self._begun_tokens = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._begun_tokens = time.monotonic(), state.num_input_tokens_seen
        if self._is_first:
            _keep(self._file, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        seconds = time.monotonic() - self._began
        tokens = state.num_input_tokens_seen
        line = {
            "step": state.global_step,
            "steps": state.max_steps,
            "epoch": logs["epoch"],
            "loss": float(logs["loss"]),
            "learning_rate": float(logs["learning_rate"]),
            "tokens": tokens,
            "tokens_per_second": (tokens - self._begun_tokens) / max(seconds, 1e-9),
        }
        if "grad_norm" in logs:
            line["grad_norm"] = float(logs["grad_norm"])
        if self._is_first:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line)}\n")
        self._report(line)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # every worker has written its part
        if self._is_first:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            seal(folder, workers=self._workers, zero_stage=self._zero_stage)


def _keep(file: Path, step: int) -> None:
    """Keep the lines up to a step: those after it come again."""
    if not file.exists():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(f"{line}\n")
        except ValueError:  # a line that was cut short
            break
    file.write_text("".join(kept), encoding="utf-8")
