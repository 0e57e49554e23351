"""`batch run` on real engines: a part of benchmarks/batch.py.

Against vLLM's own batch runner on the same file, and with two engines against one.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.goals import GoalResult, at_least, not_measured
from benchmarks.serving.servers import free_port
from workers.models import POCKET_FOLDER

GOAL_ROWS = 0.95
ROUNDS = 3
RAY_CPUS = 8
"""What the cluster believes to have, so that two engines fit on it whatever the machine has."""


def against_vllm(count: int) -> dict[str, GoalResult]:
    """The same file and model, by vLLM's own batch runner and by ours, in turn.

    A ratio is of two runs one after the other; the median of all rounds is the value.
    """
    names = ("rows/s of run_batch, scheduling off", "rows/s of run_batch, scheduling on")
    ratios: dict[str, list[float]] = {"off": [], "on": []}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        _pocket_lines(source, count)
        for number in range(ROUNDS):
            seconds = {}
            for way in ("vllm", *ratios):
                out = Path(folder) / f"{way}-{number}.jsonl"
                try:
                    seconds[way] = _timed(way, source, out)
                except RuntimeError as error:
                    print(error, file=sys.stderr, flush=True)
                    return {name: not_measured(GOAL_ROWS, f"{way} has failed") for name in names}
                print(
                    f"{way}: {count / seconds[way]:.2f} rows/s, {_tokens(out) / count:.0f} tokens "
                    "a row",
                    flush=True,
                )
            for way, found in ratios.items():
                found.append(seconds["vllm"] / seconds[way])
    for way, found in ratios.items():
        print(f"{way} over vLLM, by round: {', '.join(f'{each:.2f}' for each in found)}")
    return {
        names[0]: at_least(statistics.median(ratios["off"]), GOAL_ROWS),
        names[1]: at_least(statistics.median(ratios["on"]), 0.0),
    }


def two_real_engines(count: int) -> dict[str, GoalResult]:
    """Rows a second with two engines on a Ray cluster of this machine over those with one."""
    with tempfile.TemporaryDirectory() as folder, _ray_head() as address:
        source = Path(folder) / "in.jsonl"
        _pocket_lines(source, count)
        few = Path(folder) / "few.jsonl"
        _pocket_lines(few, 1)
        net = {}
        for engines in (1, 2):
            flags = ("--cluster", address, "--replicas", str(engines), "--policy", "fixed")
            began = time.monotonic()
            run_batch(few, Path(folder) / f"few-{engines}.jsonl", *flags)
            start = time.monotonic() - began
            began = time.monotonic()
            run_batch(source, Path(folder) / f"out-{engines}.jsonl", *flags)
            net[engines] = time.monotonic() - began - start
            print(
                f"{engines} engines on {os.cpu_count()} cores: {count / net[engines]:.1f} rows/s "
                f"after {start:.0f} s to start",
                flush=True,
            )
    name = f"two real engines / one, on {os.cpu_count()} cores"
    return {name: at_least(net[1] / net[2], 0.0)}


def run_batch(source: Path, out: Path, *flags: str) -> None:
    """`thinkbudget batch run` with s1-pocket. Raises RuntimeError with its last words."""
    command = ["batch", "run", str(source), "-o", str(out), "--concurrency", "64",
               "--model", str(POCKET_FOLDER), "--progress", "plain", *flags]  # fmt: skip
    _run("-m", "thinkbudget", *command)


def _pocket_lines(source: Path, count: int) -> None:
    lines = (POCKET_FOLDER / "questions.jsonl").read_text().splitlines()
    with source.open("w") as file:
        for number, line in zip(range(count), lines, strict=False):
            body = {
                "model": str(POCKET_FOLDER),
                "messages": [{"role": "user", "content": json.loads(line)["question"]}],
                "max_tokens": 400,
                "temperature": 0,
            }
            url = {"method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({"custom_id": str(number), **url, "body": body}) + "\n")


def _timed(way: str, source: Path, out: Path) -> float:
    """Seconds of one run."""
    began = time.monotonic()
    if way == "vllm":
        _run(
            "-m", "vllm.entrypoints.openai.run_batch", "-i", str(source), "-o", str(out),
            "--model", str(POCKET_FOLDER), "--kv-cache-memory-bytes", str(1 << 30),
        )  # fmt: skip
    else:
        run_batch(source, out, "--policy", "fixed" if way == "off" else "priced")
    return time.monotonic() - began


def _tokens(out: Path) -> int:
    bodies = (json.loads(line)["response"]["body"] for line in out.read_text().splitlines())
    return sum(body["usage"]["completion_tokens"] for body in bodies)


def _run(*arguments: str) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    ran = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )
    if ran.returncode:
        raise RuntimeError(f"{' '.join(arguments[:4])}: {ran.stderr[-2000:]}")


@contextmanager
def _ray_head() -> Iterator[str]:
    """The address of a cluster of its own, which ends with it."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
               f"--port={address.rpartition(':')[2]}", f"--num-cpus={RAY_CPUS}",
               "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
    head = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert head.stdout is not None
    try:
        for line in head.stdout:
            if "Ray runtime started" in line:
                break
        else:
            raise RuntimeError("ray start has ended before it began")
        yield address
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)
