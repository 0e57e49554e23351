"""Turns a checkpoint of some number of workers into one for any number (DeepSpeed's "universal")."""

import shutil
import subprocess
import sys
from pathlib import Path


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
