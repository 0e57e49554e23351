"""Every example runs as it is written. Those that need a server are in tests/real/cluster/."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from scheduler.config import ServeConfig
from scheduler.settings import read_toml
from scheduler.startup import validate
from thinkbudget import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40


def test_ones_own_policy_spends_fewer_tokens_than_nine_votes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runpy.run_path(str(EXAMPLES / "own_policy.py"))
    found = re.findall(r"(\w+): accuracy (\S+), (\d+) tokens", capsys.readouterr().out)
    (own, accuracy, tokens), (peer, peer_accuracy, peer_tokens) = found
    assert (own, peer) == ("first_to", "majority")
    assert int(tokens) < int(peer_tokens)
    assert float(accuracy) > float(peer_accuracy) - 0.1 > 0


def test_a_batch_answers_every_line(tmp_path: Path) -> None:
    options = ["--engine", "simulated", "--model", "s1-pocket"]
    done = subprocess.run(
        [EXAMPLES / "batch.sh", tmp_path, *options],
        env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {reply["custom_id"] for reply in replies} == {"1", "2", "3"}
    assert {reply["response"]["status_code"] for reply in replies} == {200}


def test_the_servers_settings_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(main, ["keys", "create", "alice", "--file", "keys.jsonl"])
    assert made.exit_code == 0, made.output
    config = validate(read_toml(EXAMPLES / "serve.toml", ServeConfig))
    assert config.access.keys == str(tmp_path / "keys.jsonl")
    assert config.pricing.tokens_per_query == 400


def test_the_experiment_runs_and_is_reported(tmp_path: Path) -> None:
    options = ["experiment", "run", str(EXAMPLES / "experiment.toml"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    report = CliRunner().invoke(main, ["report", str(tmp_path / "out")])
    assert report.exit_code == 0, report.output
    for label in ("two-extensions", "votes-samples=8", "learned"):
        assert label in report.output
    assert (tmp_path / "out" / "report" / "report.html").is_file()


def test_results_load_in_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"policy": policy, "correct": right, "tokens": 10}
        for policy in ("one", "votes")
        for right in (True, policy == "votes")
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "results.parquet")
    monkeypatch.setattr(sys, "argv", ["results.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "results.py"))
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["one", "0.5", "10.0"] in shown and ["votes", "1.0", "10.0"] in shown


def test_the_curation_runs_without_a_network(tmp_path: Path) -> None:
    for file in EXAMPLES.glob("curation*"):
        shutil.copy(file, tmp_path)
    command = ["curate", "all", str(tmp_path / "curation.toml"), "--in-process"]
    checked = CliRunner().invoke(main, [*command, "--check"])
    assert checked.exit_code == 0, checked.output
    assert "traces.teacher: s1-pocket at this process answers" in checked.output
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    for line in ("load: 28 -> 28 rows", "1 x 8-gram of a test set", "1 x same question",
                 "1 x near-duplicate question", "1 x format: [asy]", "select-random: 24 -> 10 rows",
                 "select-full: 25 -> 25 rows"):  # fmt: skip
        assert line in done.output
    again = CliRunner().invoke(main, command)
    assert again.output.count(": done before") == 8
