"""`batch run` and vLLM's own batch runner on the same file: a part of benchmarks/batch.py."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.goals import GoalResult, at_least, not_measured
from workers.models import POCKET_FOLDER

GOAL_ROWS = 0.95


def against_vllm(count: int) -> dict[str, GoalResult]:
    """The same file and model, by vLLM's own batch runner and by ours, twice each in turn."""
    names = ("rows/s of run_batch, scheduling off", "rows/s of run_batch, scheduling on")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        _pocket_lines(source, count)
        seconds: dict[str, list[float]] = {"vllm": [], "off": [], "on": []}
        for _ in range(2):
            for way in seconds:
                out = Path(folder) / f"{way}-{len(seconds[way])}.jsonl"
                took = _timed(way, source, out)
                if took is None:
                    return {name: not_measured(GOAL_ROWS, f"{way} has failed") for name in names}
                seconds[way].append(took)
                print(f"{way}: {count / took:.2f} rows/s", flush=True)
    best = {way: min(each) for way, each in seconds.items()}
    return {
        names[0]: at_least(best["vllm"] / best["off"], GOAL_ROWS),
        names[1]: at_least(best["vllm"] / best["on"], 0.0),
    }


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


def _timed(way: str, source: Path, out: Path) -> float | None:
    """Seconds of one run; None where it fails."""
    vllm = [
        "-m", "vllm.entrypoints.openai.run_batch", "-i", str(source), "-o", str(out),
        "--model", str(POCKET_FOLDER), "--kv-cache-memory-bytes", str(1 << 30),
    ]  # fmt: skip
    policy = "fixed" if way == "off" else "priced"
    ours = [
        "-m", "thinkbudget", "batch", "run", str(source), "-o", str(out), "--concurrency", "64",
        "--model", str(POCKET_FOLDER), "--policy", policy, "--progress", "plain",
    ]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, *(vllm if way == "vllm" else ours)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        print(ran.stderr[-2000:], file=sys.stderr, flush=True)
        return None
    return time.monotonic() - began
