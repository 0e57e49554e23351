"""`batch run` with two engines on a Ray cluster against one: a part of benchmarks/batch.py.

Rows a second count from when all engines are ready, as the job's own progress does; so starts are
not in them. Simulated engines take real time for every token and hold a few chains at once, but
hardly any of a core: they show what the job and Ray make of a second engine. Real engines share the
cores of this machine, so that a second one can bring little here.
"""

import json
import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.goals import GoalResult, at_least
from benchmarks.serving.batch_vllm import pocket_lines, run_batch
from benchmarks.serving.servers import free_port, in_background

GOAL_SIMULATED = 1.6
ROUNDS = 3
SLOTS = 4
"""Chains that a simulated engine holds at once."""
RAY_CPUS = 8
"""What the cluster believes to have, so that two engines fit on it whatever the machine has."""


def engines_on_ray(simulated: int, real: int, rounds: int = ROUNDS) -> dict[str, GoalResult]:
    """Rows a second with two engines over those with one, with so many rows of either kind."""
    cores = f"on {os.cpu_count()} cores"
    with tempfile.TemporaryDirectory() as folder, _ray_head() as address:
        place = Path(folder)
        slots = place / "slots.toml"
        slots.write_text(f"[engine]\nmax_num_seqs = {SLOTS}\n")
        kinds = {
            "simulated": (simulated, ("--engine", "simulated", "--config", str(slots))),
            "real": (real, ()),
        }
        ratios: dict[str, float] = {}
        for kind, (count, flags) in kinds.items():
            source = place / f"{kind}.jsonl"
            pocket_lines(source, count)
            found = []
            for number in range(rounds):
                out = place / f"{kind}-{number}"
                found.append(_ratio(source, out, "--cluster", address, *flags))
            ratios[kind] = statistics.median(found)
            told = ", ".join(f"{each:.2f}" for each in found)
            print(f"two {kind} engines over one {cores}, by round: {told}", flush=True)
    return {
        "two simulated engines on Ray / one": at_least(ratios["simulated"], GOAL_SIMULATED),
        f"two real engines on Ray / one, {cores}": at_least(ratios["real"], 0.0),
    }


def _ratio(source: Path, out: Path, *flags: str) -> float:
    """Of one round: one engine, then two."""
    rates = {}
    for engines in (1, 2):
        replicas = ("--replicas", str(engines), "--policy", "fixed")
        said = run_batch(source, out.with_suffix(f".{engines}.jsonl"), *flags, *replicas)
        rates[engines] = rows_per_second(said)
        print(f"{' '.join(replicas[:2])}: {rates[engines]:.1f} rows/s", flush=True)
    return rates[2] / rates[1]


def rows_per_second(said: str) -> float:
    """Of the last line of a job's progress: all rows, from when its engines were ready.

    Raises ValueError if the job has not come to its end.
    """
    lines = [json.loads(line) for line in said.splitlines() if line.startswith('{"what"')]
    if not lines or lines[-1]["done"] != lines[-1]["total"]:
        raise ValueError(f"the job did not end: {said[-500:]!r}")
    return float(lines[-1]["per_second"])


@contextmanager
def _ray_head() -> Iterator[str]:
    """The address of a cluster of its own, which ends with it.

    Ray sends a token to an address only if it is told to; who joins meanwhile has that of the head.
    """
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
               f"--port={address.rpartition(':')[2]}", f"--num-cpus={RAY_CPUS}",
               "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with environment(token), in_background(command, said="Ray runtime started"):
        yield address


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These environment variables, for as long as the block runs."""
    was = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in was.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
