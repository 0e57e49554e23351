"""Two engines are held against one by the rates that their jobs tell."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.serving import batch_engines


def progress(done: int, rate: float) -> str:
    told = {"what": "batch", "done": done, "total": 20, "per_second": rate, "note": ""}
    return json.dumps(told) + "\n"


def test_the_rate_of_all_rows_counts_whatever_the_start_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = {"1": 10.0, "2": 15.0}
    asked: list[tuple[str, ...]] = []

    def run(source: Path, out: Path, *flags: str) -> str:
        asked.append(flags)
        rate = rates[flags[flags.index("--replicas") + 1]]
        return "a warning\n" + progress(8, 1000.0) + progress(20, rate) + "a bill\n"

    @contextmanager
    def head() -> Iterator[str]:
        yield "127.0.0.1:1"

    monkeypatch.setattr(batch_engines, "run_batch", run)
    monkeypatch.setattr(batch_engines, "_ray_head", head)
    found = batch_engines.engines_on_ray(20, 20)
    simulated, real = found.values()
    assert simulated == {"value": 1.5, "goal": 1.6, "met": False}
    assert real == {"value": 1.5, "goal": 0.0, "met": True}
    assert len(asked) == 2 * 2 * batch_engines.ROUNDS
    assert sum("simulated" in flags for flags in asked) == len(asked) / 2


def test_a_job_that_did_not_end_has_no_rate() -> None:
    for said in ("", progress(19, 3.0)):
        with pytest.raises(ValueError, match="did not end"):
            batch_engines.rows_per_second(said)


def test_a_block_has_its_environment_and_leaves_the_one_it_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONE", "before")
    monkeypatch.delenv("OTHER", raising=False)
    with batch_engines.environment({"ONE": "1", "OTHER": "2"}):
        assert (os.environ["ONE"], os.environ["OTHER"]) == ("1", "2")
    assert os.environ["ONE"] == "before"
    assert "OTHER" not in os.environ
