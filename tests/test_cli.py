"""The command line: help at once, mistakes in one line, and work from end to end."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner, Result

from thinkbudget import main

SIMULATED = ["--engine", "simulated", "--model", "simulated", "--policy", "fixed"]


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def request(custom_id: str, question: str = "easy question", **fields: object) -> str:
    body = {"model": "simulated", "messages": [{"role": "user", "content": question}]} | fields
    return json.dumps({"custom_id": custom_id, "body": body})


@pytest.mark.parametrize("path", [*commands(main)], ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        result = ran(*path, flag)
        assert result.exit_code == 0
        assert result.output.startswith("Usage:")
        assert len(result.output.splitlines()) > 3


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, thinkbudget\n"
        "thinkbudget.main(['--help'], standalone_mode=False)\n"
        "heavy = {'ray', 'vllm', 'torch', 'scipy', 'numpy', 'matplotlib', 'fastapi', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert told.stdout.startswith("Usage:")
    assert told.stderr == "[]\n"


def test_the_module_runs_as_the_command() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "thinkbudget", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert told.stdout.startswith("Usage: ")
    assert "batch" in told.stdout and "experiment" in told.stdout


WRONG: list[tuple[list[str], list[str]]] = [
    (["ask", "?", "--engine", "simulated", "--policy", "prised"], ["prised", "priced"]),
    (["ask", "?", "--engine", "vlm"], ["vlm"]),
    (["ask", "?", "--engine", "replayed"], ["recording"]),
    (["ask", "?", "--model", "./nowhere"], ["model", "nowhere"]),
    (["ask", "?", "--model", "."], ["model", "config.json"]),
    (["ask", "?", "--format", "s2"], ["format", "s2"]),
    (["ask", "?", "--price", "2"], ["price", "2"]),
    (["ask", "?", "--price", "nan"], ["price", "nan"]),
    (["ask", "?", "--price", "cheap"], ["--price", "cheap"]),
    (["ask", "?", "--answer-tokens", "0"], ["answer_tokens", "0"]),
    (["ask", "?", "--max-model-len", "0"], ["max_model_len", "0"]),
    (["ask", "?", "--max-model-len", "1.5"], ["--max-model-len", "1.5"]),
    (["ask", " ", *SIMULATED], ["messages"]),
    (["ask"], ["QUESTION"]),
    (["aks"], ["aks"]),
    (["batch", "run", "nowhere.jsonl", "-o", "out.jsonl"], ["nowhere.jsonl"]),
    (["batch", "run", "in.jsonl"], ["--out"]),
    (["batch", "run", "in.jsonl", "-o", "o.jsonl", "--concurrency", "0"], ["--concurrency", "0"]),
    (["batch", "run", "in.jsonl", "-o", "o.jsonl", "--policy", "nope"], ["nope"]),
    (["batch", "run", "in.jsonl", "-o", "in.jsonl", *SIMULATED], ["in.jsonl"]),
    (["batch", "run", "in.jsonl", "-o", "key.toml", *SIMULATED], ["key.toml"]),
    (["experiment", "run", "nowhere.toml"], ["nowhere.toml"]),
    (["experiment", "run", "key.toml"], ["key.toml", "polices", "did you mean 'policies'"]),
    (["experiment", "run", "option.toml"], ["sample", "did you mean 'samples'"]),
    (["experiment", "run", "label.toml"], ["a/b"]),
    (["experiment", "run", "questions.toml"], ["nowhere.jsonl"]),
    (["experiment", "run", "in.jsonl"], ["in.jsonl"]),
    (["serve", "--config", "nowhere.toml"], ["nowhere.toml"]),
    (["serve", "--config", "key.toml"], ["key.toml", "polices", "did you mean 'policy'"]),
    (["serve", "--policy", "prised"], ["prised"]),
    (["serve", "--price", "0"], ["price", "0"]),
    (["serve", "--port", "0"], ["port", "0"]),
    (["serve", "--replicas", "0"], ["replicas", "0"]),
    (["serve", "--replicas", "3", "--max-replicas", "2"], ["scaling.max_replicas", "2", "3"]),
    (["serve", "--gateways", "0"], ["gateways", "0"]),
    (["serve", "--tensor-parallel-size", "0"], ["tensor_parallel_size", "0"]),
    (["serve", "--drain-timeout", "nan"], ["drain_seconds", "nan"]),
    (["report", "nowhere"], ["nowhere"]),
    (["report", "."], ["in.jsonl"]),
    (["report", "empty"], ["empty"]),
    (["demo", "--price", "2"], ["price", "2"]),
    (["demo", "--questions", "1"], ["--questions", "1"]),
    (["doctor", "--port", "70000"], ["port", "70000"]),
]
FILES = {
    "in.jsonl": request("a") + "\n",
    "key.toml": "polices.a.name = 'fixed'\n",
    "option.toml": "policies.a = { policy = 'majority', sample = 3 }\n",
    "label.toml": "policies.'a/b'.policy = 'fixed'\n",
    "questions.toml": "questions = 'nowhere.jsonl'\npolicies.a.policy = 'fixed'\n"
    "engine.kind = 'simulated'\n",
}


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=" ".join)
def test_wrong_input_is_one_line_and_exit_code_2(
    folder: Path, arguments: list[str], told: list[str]
) -> None:
    (folder / "empty").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    result = ran(*arguments)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0] == result.stderr.splitlines()[-1]
    for part in told:
        assert part in errors[0]
    assert {name: (folder / name).read_text(encoding="utf-8") for name in FILES} == FILES


def test_a_policy_of_a_config_file_is_checked_before_anything_starts(folder: Path) -> None:
    with socket.socket() as taken:  # so that nothing can start
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (folder / "serve.toml").write_text(
            f"port = {port}\nengine.kind = 'simulated'\npolicy.name = 'prised'\n", encoding="utf-8"
        )
        result = ran("serve", "--config", "serve.toml")
    assert result.exit_code == 2
    assert "prised" in result.stderr


def test_only_flags_that_are_given_win_over_a_file(folder: Path) -> None:
    (folder / "serve.toml").write_text(
        "port = 0\nengine.kind = 'simulated'\npolicy.name = 'fixed'\n", encoding="utf-8"
    )
    result = ran("serve", "--config", "serve.toml", "--policy", "prised")
    assert "port must be greater than or equal to 1, got 0" in result.stderr
    result = ran("serve", "--config", "serve.toml", "--policy", "prised", "--port", "8000")
    assert result.exit_code == 2
    assert "prised" in result.stderr
    assert "Usage" not in result.output


def test_ask_prints_the_thinking_the_answer_and_what_was_spent() -> None:
    result = ran("ask", "easy question", *SIMULATED)
    assert result.exit_code == 0, result.output
    thinking, answer = result.stdout.splitlines()
    assert thinking.startswith("simulated thinking")
    assert answer.startswith("Final Answer: ")
    assert json.loads(result.stderr)["chains"] == 1


def test_ask_needs_no_more_than_the_engine() -> None:
    result = ran("ask", "easy question", "--engine", "simulated")
    assert result.exit_code == 0, result.output
    assert "Final Answer: " in result.stdout


def test_a_batch_is_answered_resumed_and_kept_from_other_jobs(folder: Path) -> None:
    source, out = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text(request("a") + "\n" + request("b"), encoding="utf-8")
    first = ran("batch", "run", source, "-o", out, *SIMULATED)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("2 answered, 0 done before, 0 failed")
    again = ran("batch", "run", source, "-o", out, *SIMULATED)
    assert (again.exit_code, again.stdout[:28]) == (0, "0 answered, 2 done before, 0")
    dearer = ran("batch", "run", source, "-o", out, *SIMULATED, "--answer-tokens", 9)
    assert dearer.exit_code == 4
    assert "answer_tokens" in dearer.stderr and "--force" in dearer.stderr
    source.write_text(request("b") + "\n" + request("c"), encoding="utf-8")
    other = ran("batch", "run", source, "-o", out, *SIMULATED)
    assert other.exit_code == 4
    assert str(out) in other.stderr
    forced = ran("batch", "run", source, "-o", out, *SIMULATED, "--force")
    assert (forced.exit_code, forced.stdout[:28]) == (0, "1 answered, 1 done before, 0")
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["a", "b", "c"]


def test_a_batch_with_failed_rows_says_so(folder: Path) -> None:
    source = folder / "in.jsonl"
    source.write_text(request("a", temperature=9) + "\n" + request("b"), encoding="utf-8")
    result = ran("batch", "run", source, "-o", "out.jsonl", *SIMULATED)
    assert result.exit_code == 3
    assert "1 answered, 0 done before, 1 failed" in result.stdout
    assert "1 x invalid_value -> out.errors.jsonl" in result.stdout
    assert (folder / "out.errors.jsonl").is_file()


def test_an_experiment_runs_once_and_is_reported(folder: Path) -> None:
    (folder / "trial.toml").write_text(
        "limit = 8\nengine.kind = 'simulated'\n"
        "policies.plain.policy = 'fixed'\n"
        "policies.votes = { policy = 'majority', samples = 3 }\n",
        encoding="utf-8",
    )
    result = ran("experiment", "run", "trial.toml")
    assert result.exit_code == 0, result.output
    assert "runs/trial" in result.stdout
    results = [*(folder / "runs" / "trial").rglob("*.jsonl")]
    assert sorted(path.name for path in results) == [
        "results.jsonl", "simulated~simulated~plain~0.jsonl", "simulated~simulated~votes~0.jsonl",
    ]  # fmt: skip
    before = [path.read_bytes() for path in results]
    assert ran("experiment", "run", "trial.toml").exit_code == 0
    assert [path.read_bytes() for path in results] == before

    report = ran("report", "runs/trial")
    assert report.exit_code == 0, report.output
    assert "plain" in report.stdout and "votes" in report.stdout
    assert (folder / "runs" / "trial" / "report" / "report.png").is_file()


def test_an_experiment_does_not_go_on_in_another_ones_folder(folder: Path) -> None:
    plain = "limit = 4\nengine.kind = 'simulated'\npolicies.plain.policy = 'fixed'\n"

    def of(text: str, *flags: str) -> Result:
        (folder / "trial.toml").write_text(text, encoding="utf-8")
        return ran("experiment", "run", "trial.toml", *flags)

    assert of(plain).exit_code == 0
    for other, named in (
        (plain.replace("4", "5"), "questions"),
        (plain + "policies.plain.extensions = 1\n", "policies.plain"),
        (plain + "engine.seed = 3\n", "engine"),
        (plain + "price = 0.1\n", "price"),
    ):
        refused = of(other)
        assert refused.exit_code == 4
        assert named in refused.stderr and "runs/trial" in refused.stderr
    assert of(plain + "seeds = 2\npolicies.votes.policy = 'majority'\n").exit_code == 0
    assert len([*(folder / "runs" / "trial" / "cells").glob("*.jsonl")]) == 4
    assert of(plain).exit_code == 0
    assert of(plain.replace("4", "5"), "--force").exit_code == 0
    assert len([*(folder / "runs" / "trial" / "before-1" / "cells").glob("*.jsonl")]) == 4


def test_results_of_nobody_knows_what_are_left_alone(folder: Path) -> None:
    (folder / "trial.toml").write_text("engine.kind = 'simulated'\npolicies.a.policy = 'fixed'")
    (folder / "runs" / "trial").mkdir(parents=True)
    (folder / "runs" / "trial" / "a.0.jsonl").write_text("{}")
    refused = ran("experiment", "run", "trial.toml")
    assert (refused.exit_code, "no experiment wrote" in refused.stderr) == (2, True)


def test_a_question_id_that_comes_twice_is_refused_before_anything_runs(folder: Path) -> None:
    line = json.dumps({"id": "same", "class": "easy", "question": "1?", "answer": "1"})
    (folder / "set.jsonl").write_text(f"{line}\n{line}\n", encoding="utf-8")
    (folder / "trial.toml").write_text(
        "engine.kind = 'simulated'\nquestions = 'set.jsonl'\npolicies.a.policy = 'fixed'\n",
        encoding="utf-8",
    )
    refused = ran("experiment", "run", "trial.toml")
    assert (refused.exit_code, "'same'" in refused.stderr) == (2, True)
    assert not (folder / "runs").exists()


def test_the_doctor_lists_what_it_found_with_advice() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = ran("doctor", "--port", taken.getsockname()[1])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 9
    assert any("sampling" in line and "temperature 1" in line for line in lines)
    assert all(line[:2] in ("ok", "--", "!!") for line in lines)
    assert all("->" in line for line in lines if line.startswith("!!"))
    assert any(line.startswith("!!  port") for line in lines)


def test_policies_and_engines_are_listed_in_the_help() -> None:
    from policies import POLICIES
    from policies.answer_spec import KINDS
    from scheduler.cli.options import ANSWER_KINDS, POLICY_NAMES
    from scheduler.config import ENGINE_KINDS

    assert set(POLICY_NAMES) == set(POLICIES)
    assert ANSWER_KINDS == KINDS
    text = CliRunner().invoke(main, ["serve", "--help"]).output
    assert all(name in text for name in (*POLICIES, *ENGINE_KINDS))


def test_roles_of_keys_are_those_that_access_knows() -> None:
    from scheduler.admission.access import Role
    from scheduler.cli.keys_command import ROLES

    assert get_args(Role) == ROLES


def test_flags_beside_a_file_win(tmp_path: Path) -> None:
    from scheduler.startup import settings

    table = {"port": 1234, "engine": {"kind": "simulated", "seed": 3}, "policy": {"name": "fixed"}}
    config = settings(table, port=4321, policy="majority", max_replicas=None)
    assert (config.port, config.engine.seed, config.policy.name) == (4321, 3, "majority")
    assert settings(table).port == 1234
