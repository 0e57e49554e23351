"""A population that is fitted to recorded chains of a known law has that law again."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scheduler.config import EngineConfig
from scheduler.engines.factory import check
from scheduler.experiments import oracle, runner
from scheduler.experiments.fitted_population import fitted
from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import load_results
from scheduler.experiments.settings import ExperimentConfig
from scheduler.settings import from_table
from tests.scheduler.experiments.test_runner import Steps
from thinkbudget import main
from workers.simulated.law import LAWS, Law

COUNT = 120


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("traces")
    command = ["collect", "simulated", "--engine", "simulated", "--limit", str(COUNT)]
    done = CliRunner().invoke(main, [*command, "--samples", "6", "--no-probes", "-o", str(out)])
    assert done.exit_code == 0, done.output
    (log,) = (out / "outcomes").glob("*.jsonl")
    packed = out / "traces.jsonl.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    return packed


def config(recording: Path, **fields: Any) -> ExperimentConfig:
    table = {
        "engine": {"kind": "simulated", "recording": str(recording)},
        "policies": {"p": {"policy": "fixed"}, "three": {"policy": "majority", "samples": 3}},
        "limit": 40,
    }
    return from_table(ExperimentConfig, table | fields)


def voted(law: Law) -> float:
    """Accuracy of one sampled chain."""
    other = (1 - law.mode_mass) / 9
    return law.solvable * law.mode_mass + (1 - law.solvable) * other


@pytest.mark.slow
def test_a_known_law_is_found_again(recording: Path) -> None:
    (laws,) = prepare(config(recording)).laws.values()
    assert laws.keys() == LAWS.keys()
    for name, law in laws.items():
        true = LAWS[name]
        assert law.accuracy == pytest.approx(true.accuracy, abs=0.2)
        assert voted(law) == pytest.approx(voted(true), abs=0.15)
        assert law.mode_mass == pytest.approx(true.mode_mass, abs=0.12)
        after = law.accuracy_after(4)
        assert after == pytest.approx(true.accuracy_after(4), abs=0.2)
        assert law.thinking_tokens == pytest.approx(true.thinking_tokens, rel=0.05)
        assert law.extension_tokens == pytest.approx(true.extension_tokens, rel=0.1)


@pytest.mark.slow
def test_its_questions_are_answered_and_no_oracle_claims_to_know_them(
    recording: Path, tmp_path: Path
) -> None:
    prepared = prepare(config(recording))
    runner.run(prepared, prepared.cells, tmp_path, Steps())
    rows = load_results(tmp_path)
    assert len(rows) == 80 and all(row["error"] is None for row in rows)
    assert {row["class"] for row in rows} == set(LAWS)
    assert not oracle.knows(rows)
    easy = [row["correct"] for row in rows if row["class"] == "easy"]
    assert sum(easy) > 0.6 * len(easy)


def sample(chain: int, right: bool, extensions: int = 0, temperature: float = 0.0) -> Any:
    return {
        "chain": chain,
        "temperature": temperature,
        "extensions": extensions,
        "answer": "4" if right else "7",
        "stop_cause": "extensions" if extensions else "natural",
        "thinking_tokens": 50 * (1 + extensions),
    }


def test_moments_of_a_few_chains() -> None:
    lines = [
        {"question": "one", "class": "c", "reference": "4",
         "samples": [sample(0, False), sample(0, True, 1), sample(0, False, 2),
                     sample(1, True, temperature=1.0), sample(2, True, temperature=1.0)]},
        {"question": "two", "class": "c", "reference": "4",
         "samples": [sample(0, True), sample(0, False) | {"stop_cause": "max_thinking"}]},
        {"question": "two", "class": "c", "reference": "4", "samples": [sample(0, True, 1)]},
        {"question": "without an answer", "class": "d", "samples": [sample(0, True)]},
    ]  # fmt: skip
    ((name, law),) = fitted(lines, {("4", "4"): True, ("7", "4"): False}).items()
    assert (name, law.accuracy, law.repair, law.corruption) == ("c", 0.5, 1.0, 0.5)
    assert (law.solvable, law.mode_mass) == (1.0, 1.0)
    assert (law.thinking_tokens, law.extension_tokens) == (50, 50)


def test_a_recording_that_lacks_chains_is_refused_by_its_class() -> None:
    lines = [{"question": "q", "class": "sums", "reference": "4", "samples": [sample(0, True)]}]
    with pytest.raises(ValueError, match="no sampled chain of class 'sums'"):
        fitted(lines, {})


def test_servers_fit_nothing() -> None:
    with pytest.raises(ValueError, match="only experiments fit"):
        check(EngineConfig(kind="simulated", recording="traces.jsonl"))
