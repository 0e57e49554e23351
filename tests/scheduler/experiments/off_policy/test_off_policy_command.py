"""`experiment off-policy`, and decision logs as an engine of an experiment."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scheduler.experiments.settings import DecisionLogConfig, ExperimentConfig
from scheduler.settings import from_table
from tests.scheduler.experiments.logs import SHARES, RandomVotes, answered
from thinkbudget import main


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "outcomes.jsonl"
    answered(RandomVotes(SHARES), count=240, log=path)
    # As if it had been set aside in between.
    lines = path.read_text().splitlines(keepends=True)
    path.with_name("outcomes.jsonl.1").write_text("".join(lines[:100]))
    path.write_text("".join(lines[100:]))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["experiment", *map(str, arguments)])


def test_policies_are_estimated_and_those_the_log_does_not_tell_of_refused(log: Path) -> None:
    options = ("--policy", "majority,samples=3", "--policy", "majority,samples=20")
    result = run("off-policy", log, *options, "--format", "json")
    assert result.exit_code == 7
    known, unknown = json.loads(result.stdout)
    assert known["overlap"]["decisions"] == 240 and known["refused"] is None
    accuracy = known["accuracy"]["dr"]
    assert 0.3 < accuracy["low"] < accuracy["value"] < accuracy["high"] < 1.0
    assert unknown["accuracy"] is None and "never makes 100%" in unknown["refused"]
    shown = run("off-policy", log, *options[:2])
    assert shown.exit_code == 0 and "majority,samples=3" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "majority,samples"], "options are of the form OPTION=VALUE, got 'samples'"),
        (["--policy", "majorty"], "unknown policy 'majorty'; did you mean 'majority'"),
        (["--policy", "majority,samples=x"], "samples must be a whole number, got 'x'"),
        (["--policy", "priced"], "decides by learned curves"),
    ],
)
def test_wrong_input_is_one_line(log: Path, arguments: list[str], message: str) -> None:
    result = run("off-policy", log, *arguments)
    assert result.exit_code == 2 and message in result.stderr


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("off-policy", tmp_path / "no.jsonl", "--policy", "fixed")
    assert result.exit_code == 2 and "there is no such log of outcomes" in result.stderr


def test_a_policy_that_fails_is_named(log: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from policies.base import Policy\n"
        "class P(Policy):\n"
        "    name = 'mine'\n"
        "    def decide(self, situation, rng):\n"
        "        raise ZeroDivisionError('no')\n"
    )
    result = run("off-policy", log, "--policy", f"{mine}:P")
    assert result.exit_code == 2 and "ZeroDivisionError: no (mine.py:5)" in result.stderr


def test_a_decision_log_is_an_engine_of_an_experiment(log: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "experiment.toml", tmp_path / "out"
    file.write_text(
        f'engine = {{ decisions = "{log}" }}\n'
        '[policies]\nvotes = { policy = "majority", samples = [3, 7] }\n'
    )
    dry = run("run", file, "-o", out, "--dry-run")
    assert dry.exit_code == 0, dry.output
    result = run("run", file, "-o", out)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads((out / "off_policy.json").read_text())
    assert [each["policy"] for each in told["log"]] == ["votes-samples=3", "votes-samples=7"]
    assert "votes-samples=7" in result.stdout and "off_policy.json" in result.stdout
    log.write_text(log.read_text() + log.read_text().splitlines(keepends=True)[0])
    assert run("run", file, "-o", out).exit_code == 4


def test_logs_stand_beside_engines_that_are_asked() -> None:
    engines = {"past": {"decisions": "log.jsonl"}, "now": {"kind": "simulated"}}
    config = from_table(
        ExperimentConfig, {"engines": engines, "policies": {"a": {"policy": "fixed"}}}
    )
    assert list(config.named_engines) == ["now"]
    assert config.decision_logs == {"past": DecisionLogConfig("log.jsonl")}
    with pytest.raises(ValueError, match="curvs is not a known key"):
        from_table(
            ExperimentConfig, {"engine": {"decisions": "x", "curvs": "y"}, "policies": {"a": {}}}
        )
