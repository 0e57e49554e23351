"""Results in the shape of inspect_ai's logs; the package itself is not needed to make it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from scheduler.experiments.inspect_log import logs, write_logs
from tests.scheduler.experiments.test_report import scored

CREATED = "2026-01-02T03:04:05+00:00"
OPTIONS = {"votes": {"samples": 3}}


def made(*rows: dict[str, Any], texts: dict[tuple[str, str, str], str] | None = None) -> Any:
    return logs(rows, created=CREATED, texts=texts or {}, options=OPTIONS)


def row(seed: int = 0, **more: Any) -> dict[str, Any]:
    (one,) = scored("votes", 1, 1, 120, seed=seed, model="m", answer="4", reference="4", **more)
    return one


def test_a_policy_is_a_log_and_its_seeds_are_epochs() -> None:
    found = made(
        *scored("votes", 3, 4, 10), *scored("votes", 1, 4, 10, seed=1), *scored("p", 1, 1, 5)
    )
    assert list(found) == ["q~votes~e", "q~p~e"]
    log = found["q~votes~e"]
    assert log["eval"]["task"] == "q" and log["eval"]["solver_args"] == {"samples": 3}
    assert log["eval"]["config"]["epochs"] == 2 and log["eval"]["dataset"]["samples"] == 4
    assert [each["epoch"] for each in log["samples"]] == [1] * 4 + [2] * 4
    (scores,) = log["results"]["scores"]
    assert scores["metrics"]["accuracy"]["value"] == 0.5
    assert log["stats"]["model_usage"]["thinkbudget/unknown"]["output_tokens"] == 80


def test_a_sample_has_question_answer_score_and_tokens() -> None:
    texts = {("e", "q", "sums0"): "2+2?"}
    (sample,) = made(row(reasoning_tokens=100, judge_reply="CORRECT"), texts=texts)["q~votes~e"][
        "samples"
    ]
    assert (sample["input"], sample["target"]) == ("2+2?", "4")
    assert sample["output"]["choices"][0]["message"]["content"] == "4"
    usage = {"output_tokens": 120, "total_tokens": 120, "reasoning_tokens": 100}
    assert sample["output"]["usage"] == usage
    score = {"value": "C", "answer": "4", "explanation": "CORRECT"}
    assert sample["scores"] == {"correct": score}


def test_what_has_no_grade_has_no_score_and_says_why() -> None:
    log = made(row(), row(seed=1) | {"correct": None, "error": "not graded: down"})["q~votes~e"]
    good, bad = log["samples"]
    assert "scores" in good and "scores" not in bad
    assert bad["error"]["message"] == "not graded: down"
    assert log["results"]["completed_samples"] == 1
    assert log["results"]["scores"][0]["unscored_samples"] == 1


@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is not None, reason="it is installed")
def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the package inspect-ai .* the extra `inspect`"):
        write_logs([row()], tmp_path, created=CREATED, texts={}, options={})
