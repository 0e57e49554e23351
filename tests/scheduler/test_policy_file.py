"""A policy of the user's own, from a file: loaded, served, and stopped when it fails."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from policies.base import Policy
from scheduler.policy_file import absolute, build_policy
from scheduler.startup import settings
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from thinkbudget import main
from workers.simulated.clock import run_virtual

HEAD = """
import time
from policies.base import Draw, Policy, Stop

class Mine(Policy):
    name = "mine"
    def decide(self, situation, rng):
"""
FAILS = {
    "raises": (
        "        return 1 / len(situation.tally.votes)",
        "ZeroDivisionError: .* \\(mine.py:8\\)",
    ),
    "stalls": ("        while True: pass", "has not decided within 1 s"),
    "sleeps": ("        time.sleep(1.3)\n        return Stop('settled')", "has not decided"),
    "answers nothing": ("        return None", "must return a Draw, .* got 'None'"),
    "answers a word": ("        return 'draw'", "must return a Draw, .* got 'draw'"),
}


def written(folder: Path, body: str) -> str:
    file = folder / "mine.py"
    file.write_text(HEAD + body + "\n")
    return f"{file}:Mine"


def built(name: str, **options: Any) -> Policy:
    return build_policy(name, answer_tokens=64, **options)


def test_the_example_that_is_written_runs_and_takes_options(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    runner = CliRunner()
    made = runner.invoke(main, ["policy", "new", str(file)])
    assert made.exit_code == 0, made.output
    assert len(file.read_text().splitlines()) < 40
    again = runner.invoke(main, ["policy", "new", str(file)])
    assert again.exit_code == 2 and "cannot be written" in again.output
    options = ["--engine", "simulated", "--model", "s1-pocket", "--policy", f"{file}:MyPolicy"]
    asked = runner.invoke(main, ["ask", *options, "easy question"])
    assert asked.exit_code == 0, asked.output
    assert "Final Answer:" in asked.output
    assert built(f"{file}:MyPolicy", samples=5).max_chains == 5
    with pytest.raises(
        ValueError, match=r"my_policy has no option 'sample'; did you mean 'samples'"
    ):
        built(f"{file}:MyPolicy", sample=5)
    with pytest.raises(ValueError, match="lead must be a whole number, got 'two'"):
        built(f"{file}:MyPolicy", lead="two")


@pytest.mark.parametrize(
    ("text", "wanted", "why"),
    [
        (None, "Mine", "there is no file"),
        ("def broken(:", "Mine", r"mine.py, line 1: SyntaxError"),
        ("import nothing_of_that_name", "Mine", r"mine.py, line 1: ModuleNotFoundError"),
        ("x = 1\ny = 1 / 0", "Mine", r"mine.py, line 2: ZeroDivisionError"),
        (HEAD + "        pass", "Mien", r"no class 'Mien' .*did you mean 'Mine'\?"),
        ("class Mine: pass", "Mine", "no class 'Mine' that subclasses Policy"),
        (HEAD.replace('"mine"', '"fixed"') + "        pass", "Mine", "a text that no other policy"),
        (HEAD.replace('"mine"', "7") + "        pass", "Mine", "must be a text .* got 7"),
    ],
)
def test_a_file_that_holds_no_such_policy_is_refused_with_the_reason(
    tmp_path: Path, text: str | None, wanted: str, why: str
) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=why):
        built(f"{file}:{wanted}")


def test_settings_name_the_file_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "        return Stop('settled')")
    monkeypatch.chdir(tmp_path)
    config = settings(kind="simulated", model="s1-pocket", policy="mine.py:Mine")
    assert config.policy.name == f"{tmp_path / 'mine.py'}:Mine"
    assert absolute("priced") == "priced"


@pytest.mark.parametrize("fault", FAILS)
def test_a_policy_that_fails_ends_its_query_with_the_querys_id_and_no_other(
    tmp_path: Path, fault: str
) -> None:
    body, why = FAILS[fault]

    async def main() -> None:
        controller = await make_controller()
        controller.policy = built(written(tmp_path, body))
        async with client_of(controller) as client:
            reply = await client.post(CHAT, json=chat())
            assert reply.status_code == 500
            error = reply.json()["error"]
            assert error["code"] == "policy_failed"
            assert re.match(rf"policy 'mine', query [0-9a-f]+: it .*{why}", error["message"])
            other = await client.post(CHAT, json=chat(thinkbudget={"policy": "fixed"}))
            assert other.status_code == 200
            assert controller.ledger.reserved == 0

    run_virtual(main())


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        ("Extend(0, 1, situation.budget(None))", "extends chain 0, which has not finished"),
        ("Conclude(0)", "concludes chain 0, and no chain is running"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_told(
    tmp_path: Path, decision: str, why: str
) -> None:
    body = f"        from policies.base import Conclude, Extend\n        return {decision}"

    async def main() -> None:
        controller = await make_controller()
        controller.policy = built(written(tmp_path, body))
        async with client_of(controller) as client:
            reply = await client.post(CHAT, json=chat())
            assert why in reply.json()["error"]["message"]

    run_virtual(main())


def test_an_experiment_goes_on_and_says_which_questions_failed(tmp_path: Path) -> None:
    body = (
        "        if situation.tally.votes: return Stop('settled')\n"
        "        if 'hard' in situation.query.messages[0].content: raise KeyError('hard')\n"
        "        return Draw(1, situation.budget(None))"
    )
    file = tmp_path / "experiment.toml"
    file.write_text(
        "limit = 40\n[engine]\nkind = 'simulated'\n"
        f"[policies.own]\npolicy = '{written(tmp_path, body)}'\n"
        "[policies.plain]\npolicy = 'fixed'\n"
    )
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["experiment", "run", str(file), "-o", str(out)])
    assert done.exit_code == 3, done.output
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    lines = [row for row in rows if row["policy"] == "own"]
    failed = [line for line in lines if line["error"] is not None]
    assert len(lines) == 40
    assert {line["class"] for line in failed} == {"hard"}
    assert (
        f"{len(failed)} questions failed, the first: policy 'mine', query own-0-hard" in done.output
    )
    assert sum(row["policy"] == "plain" and row["error"] is None for row in rows) == 40
    reported = CliRunner().invoke(main, ["report", str(out)])
    assert reported.exit_code == 0, reported.output
