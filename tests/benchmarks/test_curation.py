"""A small pool goes through all stages, and the last line says what that took."""

import json
import re

import pytest
from click.testing import CliRunner

from benchmarks.curation import SECONDS, StageTime, goals, main

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.slow
def test_every_stage_is_timed_and_the_goals_come_last() -> None:
    result = CliRunner().invoke(main, ["--rows", "1000", "--in-process"])
    assert result.exit_code == 0, result.output
    stages = re.findall(r"^(\S+) +(\d+) rows in", result.output, re.MULTILINE)
    assert [name for name, _ in stages][:3] == ["load", "decontaminate", "dedup"]
    assert stages[0] == ("load", "1000") and stages[-1][0] == "select-random"
    last = json.loads(result.output.splitlines()[-1])
    assert last["seconds of all stages"]["met"] is True
    assert last["largest memory, MB"]["value"] > 0


@pytest.mark.slow
def test_the_pure_stages_select_without_asking() -> None:
    result = CliRunner().invoke(main, ["--rows", "1000", "--in-process", "--pure"])
    assert result.exit_code == 0, result.output
    stages = re.findall(r"^(\S+) +(\d+) rows in +(\d+) out", result.output, re.MULTILINE)
    names = [name for name, *_ in stages]
    assert names == [
        "load", "decontaminate", "dedup", "answers", "quality", "select-s1", "select-random"
    ]  # fmt: skip
    assert [out for *_, out in stages][-2:] == ["100", "100"]


def test_a_goal_is_missed_when_all_stages_together_take_too_long() -> None:
    slow = [StageTime("load", 10, SECONDS / 2, 90.0), StageTime("dedup", 10, SECONDS, 100.0)]
    result = goals(slow)
    seconds = result["seconds of all stages"]
    assert (seconds["value"], seconds["met"]) == (1.5 * SECONDS, False)
    assert result["largest memory, MB"]["value"] == 100.0
