"""Makes the embedded verifier: samples chains, labels them, trains, writes the files."""

import subprocess
import sys
from pathlib import Path

from training.pocket.verifier.fit import VerifierRecipe, export, fit, step_rows, with_spoiled
from training.pocket.verifier.samples import read_chains

QUESTIONS = 3000


def make(out: Path, *, seed: int = 0, questions: int = QUESTIONS, epochs: int = 1) -> None:
    """Write a verifier into `out`. Run again after an interruption, it goes on where it was."""
    out.mkdir(parents=True, exist_ok=True)
    chains, checkpoint = out / f"chains-{seed}.jsonl", out / "checkpoint.pt"
    # In a process of its own: vLLM leaves threads and memory behind.
    command = [sys.executable, "-m", "training.pocket.verifier.samples", str(chains)]
    subprocess.run([*command, str(questions), str(seed)], check=True)
    rows = step_rows(with_spoiled(read_chains(chains), seed))
    export(fit(rows, VerifierRecipe(seed=seed, epochs=epochs), checkpoint), out)
    checkpoint.unlink(missing_ok=True)
