"""Turns a checkpoint of some number of workers into one for any ("universal" in DeepSpeed)."""

import shutil
import subprocess
import sys
from pathlib import Path

from training.sft.checkpoints import FoundCheckpoint


def fitting(found: FoundCheckpoint, workers: int, zero_stage: int) -> FoundCheckpoint:
    """The checkpoint as these workers read it, converted beside it if others wrote it.

    Raises ValueError where ZeRO allows no other number of workers, RuntimeError if DeepSpeed fails.
    """
    if (found.workers, found.zero_stage) == (workers, zero_stage):
        return found
    if 0 in (found.zero_stage, zero_stage):
        raise ValueError(
            f"{found.folder} was written by {found.workers} workers at ZeRO stage "
            f"{found.zero_stage}: {workers} workers at stage {zero_stage} cannot go on from it; "
            "stage 0 needs the same number of workers"
        )
    converted = found.folder.with_name(f"any-workers-{found.step}")
    convert(found.folder, converted)
    return found._replace(folder=converted, universal=True)


def convert(checkpoint: Path, converted: Path) -> None:
    """Write `converted`, with everything in it that the Trainer reads beside the weights.

    Raises RuntimeError with DeepSpeed's last line if it fails.
    """
    tag = (checkpoint / "latest").read_text().strip()
    partial = converted.parent / f".{converted.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    command = [
        sys.executable,
        "-m",
        "deepspeed.checkpoint.ds_to_universal",
        "--input_folder",
        str(checkpoint / tag),
        "--output_folder",
        str(partial / tag),
        "--inject_missing_state",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{checkpoint} cannot be converted: {lines[-1] if lines else 'failed'}")
    for file in checkpoint.iterdir():
        if file.is_file():
            shutil.copy2(file, partial / file.name)
    (partial / "latest_universal").write_text(tag)
    shutil.rmtree(converted, ignore_errors=True)
    partial.rename(converted)
