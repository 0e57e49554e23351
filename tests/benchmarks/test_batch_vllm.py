"""What is held against vLLM's own batch runner, whatever ran the rows."""

import json
from pathlib import Path

import pytest

from benchmarks.serving import batch_vllm

OFF_TOKENS = 40
"""A row; of vLLM's runner it is more, in spite of what it is asked for."""
TOKENS = {"off": 20 * OFF_TOKENS, "on": 4000, "vllm": 1200, "vllm's defaults": 1200}
SECONDS = {"off": 10.0, "on": 20.0, "vllm": 9.0, "vllm's defaults": 8.0}


def test_the_goal_is_against_vllm_with_the_settings_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def timed(way: str, source: Path, out: Path) -> float:
        asked.append(way)
        body = {"usage": {"completion_tokens": TOKENS[way]}}
        out.write_text(json.dumps({"response": {"body": body}}) + "\n")
        lines = source.read_text().splitlines()
        assert len(lines) == 20
        most = {json.loads(line)["body"]["max_tokens"] for line in lines}
        assert most == ({OFF_TOKENS} if way.startswith("vllm") else {400})
        return SECONDS[way]

    monkeypatch.setattr(batch_vllm, "_timed", timed)
    found = batch_vllm.against_vllm(20)
    assert asked == [*SECONDS] * batch_vllm.ROUNDS
    assert found == {
        "rows/s of run_batch, scheduling off": {"value": 0.9, "goal": 0.95, "met": False},
        "rows/s of run_batch, scheduling on": {"value": 0.45, "goal": 0.0, "met": True},
        "rows/s of run_batch with its defaults, scheduling off": {
            "value": 0.8,
            "goal": 0.0,
            "met": True,
        },
        "tokens of vLLM's run_batch over those with scheduling off": {
            "value": 1.5,
            "goal": 1.1,
            "met": False,
        },
    }


def test_a_runner_that_fails_leaves_the_goals_without_a_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def timed(way: str, source: Path, out: Path) -> float:
        raise RuntimeError("no room")

    monkeypatch.setattr(batch_vllm, "_timed", timed)
    found = batch_vllm.against_vllm(20)
    assert {goal["reason"] for goal in found.values()} == {"off has failed"}
    assert not any(goal["met"] for goal in found.values())
