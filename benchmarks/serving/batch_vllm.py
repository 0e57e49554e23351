"""`batch run` on real engines: a part of benchmarks/batch.py.

Against vLLM's own batch runner on the same file, and with two engines against one.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.goals import GoalResult, at_least, at_most, not_measured
from benchmarks.serving.servers import ENGINE_FLAGS, free_port, in_background
from workers.models import POCKET_FOLDER

GOAL_ROWS = 0.95
GOAL_OF = ("off", "vllm")
GOAL_TOKENS = 1.1
"""Tokens of vLLM's runner over ours, at most: with more it would have done other work."""
ROUNDS = 3
RAY_CPUS = 8
"""What the cluster believes to have, so that two engines fit on it whatever the machine has."""


def against_vllm(count: int) -> dict[str, GoalResult]:
    """The same file and model, by vLLM's own batch runner and by ours, in turn.

    A ratio is of two runs one after the other; the median of all rounds is the value. The goal is
    against vLLM with the engine's settings of ours; vLLM with its own defaults is told beside it.
    Its chains of s1-pocket do not end by themselves, so it is asked for as many tokens a row as we
    take with scheduling off.
    """
    names = {
        ("off", "vllm"): "rows/s of run_batch, scheduling off",
        ("on", "vllm"): "rows/s of run_batch, scheduling on",
        ("off", "vllm's defaults"): "rows/s of run_batch with its defaults, scheduling off",
    }
    same = "tokens of vLLM's run_batch over those with scheduling off"
    ratios: dict[tuple[str, str], list[float]] = {pair: [] for pair in names}
    tokens: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, same_tokens = Path(folder) / "in.jsonl", Path(folder) / "same-tokens.jsonl"
        _pocket_lines(source, count)
        for number in range(ROUNDS):
            seconds = {}
            for way in ("off", "on", "vllm", "vllm's defaults"):
                if way == "vllm":
                    _pocket_lines(same_tokens, count, max_tokens=round(tokens["off"] / count))
                out = Path(folder) / f"{way}-{number}.jsonl"
                try:
                    asked = same_tokens if way.startswith("vllm") else source
                    seconds[way] = _timed(way, asked, out)
                except RuntimeError as error:
                    print(error, file=sys.stderr, flush=True)
                    failed = not_measured(GOAL_ROWS, f"{way} has failed")
                    return dict.fromkeys([*names.values(), same], failed)
                tokens[way] = _tokens(out)
                print(
                    f"{way}: {count / seconds[way]:.2f} rows/s, {tokens[way] / count:.0f} tokens "
                    "a row",
                    flush=True,
                )
            for (way, peer), found in ratios.items():
                found.append(seconds[peer] / seconds[way])
    for (way, peer), found in ratios.items():
        print(f"{way} over {peer}, by round: {', '.join(f'{each:.2f}' for each in found)}")
    return {
        name: at_least(statistics.median(ratios[pair]), GOAL_ROWS if pair == GOAL_OF else 0.0)
        for pair, name in names.items()
    } | {same: at_most(tokens["vllm"] / tokens["off"], GOAL_TOKENS)}


def two_real_engines(count: int) -> dict[str, GoalResult]:
    """Rows a second with two engines on a Ray cluster of this machine over those with one."""
    with tempfile.TemporaryDirectory() as folder, _ray_head() as address:
        source = Path(folder) / "in.jsonl"
        _pocket_lines(source, count)
        few = Path(folder) / "few.jsonl"
        _pocket_lines(few, 1)
        net, starts = {}, {}
        for engines in (1, 2):
            flags = ("--cluster", address, "--replicas", str(engines), "--policy", "fixed")
            began = time.monotonic()
            run_batch(few, Path(folder) / f"few-{engines}.jsonl", *flags)
            starts[engines] = time.monotonic() - began
            began = time.monotonic()
            run_batch(source, Path(folder) / f"out-{engines}.jsonl", *flags)
            net[engines] = time.monotonic() - began - starts[engines]
            print(
                f"{engines} engines on {os.cpu_count()} cores: {count} rows take "
                f"{net[engines]:.1f} s more than the {starts[engines]:.0f} s of one",
                flush=True,
            )
    return {f"two real engines / one, on {os.cpu_count()} cores": speedup(net, starts)}


def speedup(net: Mapping[int, float], starts: Mapping[int, float]) -> GoalResult:
    """Of two engines over one, by their seconds for the rows, less those that a start takes.

    Not measured where the rows take less than half a start: starts vary by seconds.
    """
    if any(net[engines] < starts[engines] / 2 for engines in net):
        return not_measured(0.0, "the rows take less than half the time of a start")
    return at_least(net[1] / net[2], 0.0)


def run_batch(source: Path, out: Path, *flags: str) -> None:
    """`thinkbudget batch run` with s1-pocket. Raises RuntimeError with its last words."""
    command = ["batch", "run", str(source), "-o", str(out), "--concurrency", "64",
               "--model", str(POCKET_FOLDER), "--progress", "plain", *flags]  # fmt: skip
    _run("-m", "thinkbudget", *command)


def _pocket_lines(source: Path, count: int, *, max_tokens: int = 400) -> None:
    lines = (POCKET_FOLDER / "questions.jsonl").read_text().splitlines()
    with source.open("w") as file:
        for number, line in zip(range(count), lines, strict=False):
            body = {
                "model": str(POCKET_FOLDER),
                "messages": [{"role": "user", "content": json.loads(line)["question"]}],
                "max_tokens": max_tokens,
                "temperature": 0,
            }
            url = {"method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({"custom_id": str(number), **url, "body": body}) + "\n")


def _timed(way: str, source: Path, out: Path) -> float:
    """Seconds of one run."""
    began = time.monotonic()
    if way.startswith("vllm"):
        same = [] if way.endswith("defaults") else ENGINE_FLAGS
        _run(
            "-m", "vllm.entrypoints.openai.run_batch", "-i", str(source), "-o", str(out),
            "--model", str(POCKET_FOLDER), "--kv-cache-memory-bytes", str(1 << 30), *same,
        )  # fmt: skip
    else:
        run_batch(source, out, "--policy", "fixed" if way == "off" else "priced")
    return time.monotonic() - began


def _tokens(out: Path) -> int:
    bodies = (json.loads(line)["response"]["body"] for line in out.read_text().splitlines())
    return sum(body["usage"]["completion_tokens"] for body in bodies)


def _run(*arguments: str) -> None:
    own = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    ran = subprocess.run([sys.executable, *arguments], env=own, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(arguments[:4])}: {ran.stderr[-2000:]}")


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
