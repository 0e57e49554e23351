"""`batch run` against vLLM's own batch runner on the same file: a part of benchmarks/batch.py."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.goals import GoalResult, at_least, at_most, not_measured
from benchmarks.serving.servers import ENGINE_FLAGS
from workers.models import POCKET_FOLDER

GOAL_ROWS = 0.95
GOAL_OF = ("off", "vllm")
GOAL_TOKENS = 1.1
"""Tokens of vLLM's runner over ours, at most: with more it would have done other work."""
ROUNDS = 3


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
        pocket_lines(source, count)
        for number in range(ROUNDS):
            seconds = {}
            for way in ("off", "on", "vllm", "vllm's defaults"):
                if way == "vllm":
                    pocket_lines(same_tokens, count, max_tokens=round(tokens["off"] / count))
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


def run_batch(source: Path, out: Path, *flags: str) -> str:
    """`thinkbudget batch run` with s1-pocket: what it writes to stderr, progress as JSON lines.

    Raises RuntimeError with its last words.
    """
    command = ["batch", "run", str(source), "-o", str(out), "--concurrency", "64",
               "--model", str(POCKET_FOLDER), "--progress", "json", *flags]  # fmt: skip
    return _run("-m", "thinkbudget", *command)


def pocket_lines(source: Path, count: int, *, max_tokens: int = 400) -> None:
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


def _run(*arguments: str) -> str:
    own = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    ran = subprocess.run([sys.executable, *arguments], env=own, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(arguments[:4])}: {ran.stderr[-2000:]}")
    return ran.stderr
