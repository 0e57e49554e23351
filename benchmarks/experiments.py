"""An experiment on recorded answers: how long it takes, and whether it comes out the same again.

    python -m benchmarks.experiments [--quick]

12 policies x 5 seeds x 2,000 replayed questions, by `thinkbudget experiment run`. The traces that
ship have 500 questions with 40 chains each; each is asked four times, of 20 chains each time: the
first, the last, those of even and those of odd number. Only votes were recorded: `priced`, which
asks for trial answers and confidences, cannot be replayed on them. A second run in another folder
is killed when half of its cells are there, then resumed; every file of results must be equal to
the first run's, byte for byte.

Goals: 5 minutes on two cores, and all files equal. `--quick` has the same goals for less work.
"""

import csv
import gzip
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.goals import at_least, at_most, report
from scheduler.experiments.recordings import VOTE_COLUMNS

TRACES = Path(__file__).parent / "traces"
MINUTES = 5.0
HALF = 20
PARTS: dict[str, Callable[[int], bool]] = {
    "a": lambda chain: chain < HALF,
    "b": lambda chain: chain >= HALF,
    "c": lambda chain: chain % 2 == 0,
    "d": lambda chain: chain % 2 == 1,
}
POLICIES = """
votes = { policy = "majority", samples = [1, 2, 4, 8, 16] }
adaptive = { policy = "adaptive_consistency", max_samples = 20 }
early = { policy = "early_stopping", max_samples = 20 }
ppr = { policy = "ppr", max_samples = 20 }
blend = { policy = "blend", max_samples = 20 }
bayesian = { policy = "bayesian_stopping", max_samples = 20 }
certified = { policy = "certified", max_samples = 20 }
knapsack = { policy = "difficulty_knapsack", max_samples = 20 }
"""
COUNT = 12


def parts(out: Path, questions: int | None) -> int:
    """The shipped traces with every question four times; returns how many there are."""
    asked = 0
    out.mkdir()
    for path in sorted(TRACES.glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = list(dict.fromkeys(row["qid"] for row in rows))[:questions]
        kept = set(names)
        asked += len(PARTS) * len(names)
        with (out / path.name.removesuffix(".gz")).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, VOTE_COLUMNS, lineterminator="\n")
            writer.writeheader()
            for part, has in PARTS.items():
                for row in rows:
                    if row["qid"] in kept and has(int(row["sid"])):
                        writer.writerow(row | {"qid": f"{row['qid']}{part}"})
    return asked


def command(config: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "thinkbudget", "experiment", "run", str(config), "-o", str(out)]


def killed_at_half(config: Path, out: Path, cells: int) -> int:
    """Runs until half of the cells are there; returns how many there were when it was killed."""
    process = subprocess.Popen(command(config, out), stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and len(list((out / "cells").glob("*.jsonl"))) < cells // 2:
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    return len(list((out / "cells").glob("*.jsonl")))


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file of results."""
    paths = [*out.glob("results.*"), *(out / "cells").glob("*")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--quick", is_flag=True, help="2 seeds, 20 questions of each class.")
def main(quick: bool) -> None:
    seeds = 2 if quick else 5
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        asked = parts(folder / "traces", 5 if quick else None)
        config = folder / "experiment.toml"
        engine = f'[engine]\nkind = "replayed"\nrecording = "{folder / "traces"}"\n'
        config.write_text(f"seeds = {seeds}\nlabelled = 0.1\n{engine}[policies]{POLICIES}")
        began = time.monotonic()
        subprocess.run(command(config, folder / "once"), check=True)
        minutes = (time.monotonic() - began) / 60
        total, used = COUNT * seeds * asked, resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{total} questions in {minutes:.2f} minutes, {total / minutes / 60:.0f}/s; "
              f"{used.ru_utime + used.ru_stime:.0f} CPU seconds")  # fmt: skip
        there = killed_at_half(config, folder / "killed", COUNT * seeds)
        print(f"killed with {there} of {COUNT * seeds} cells")
        subprocess.run(command(config, folder / "killed"), check=True)
        once, again = digests(folder / "once"), digests(folder / "killed")
        for name in sorted({name for name, _ in once.items() ^ again.items()}):
            print(f"differs: {name}")
        same = sum(once[name] == again.get(name) for name in once) / max(len(once), len(again))
    report(
        {
            f"minutes of {COUNT} policies x {seeds} seeds x {asked} questions": at_most(
                minutes, MINUTES
            ),
            "share of files equal after a kill and a resume": at_least(same, 1.0),
        }
    )


if __name__ == "__main__":
    main()
