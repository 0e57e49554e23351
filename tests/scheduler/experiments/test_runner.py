"""Engines x sets x policies x seeds: each cell once, and the same again with the same seed."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scheduler.experiments import runner
from scheduler.experiments.cells import all_cells
from scheduler.experiments.manifest import NAME, claim, config_of, locked
from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import NAMES, load_results, write_results
from scheduler.experiments.settings import ExperimentConfig
from scheduler.manifest import ResumeRefused
from scheduler.settings import from_table
from workers.simulated.law import reference

ROOT = Path(__file__).parents[3]
POLICIES = {"plain": {"policy": "fixed"}, "votes": {"policy": "majority", "samples": 3}}
SIMULATED = {"kind": "simulated"}


class Steps:
    def __init__(self) -> None:
        self.count = 0

    def advance(self, note: str = "") -> None:
        self.count += 1


def settings(**fields: Any) -> ExperimentConfig:
    common = {"policies": POLICIES, "limit": 12, "concurrency": 4, "engine": SIMULATED}
    return from_table(ExperimentConfig, common | fields)


def ran(config: ExperimentConfig, folder: Path, **options: Any) -> int:
    steps, prepared = Steps(), prepare(config)
    claim(prepared, folder) if folder.is_dir() else None
    runner.run(prepared, runner.missing(prepared, folder), folder, steps, **options)
    return steps.count


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_policy_runs_with_every_seed() -> None:
    cells = all_cells(settings(seeds=2))
    assert [(cell.policy, cell.seed) for cell in cells] == [
        ("plain", 0), ("votes", 0), ("plain", 1), ("votes", 1),
    ]  # fmt: skip
    assert cells[1].path(Path("x")) == Path("x/cells/simulated~simulated~votes~0.jsonl")


def test_a_list_of_values_makes_a_policy_of_each() -> None:
    grid = {"policy": "fixed", "extensions": [0, 2], "max_thinking_tokens": [50, 100]}
    found = settings(policies={"f": grid, "v": {"policy": "majority"}}).named_policies
    assert list(found) == [
        "f-extensions=0,max_thinking_tokens=50", "f-extensions=0,max_thinking_tokens=100",
        "f-extensions=2,max_thinking_tokens=50", "f-extensions=2,max_thinking_tokens=100", "v",
    ]  # fmt: skip
    assert found["f-extensions=2,max_thinking_tokens=50"].options == {
        "extensions": 2, "max_thinking_tokens": 50,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"policies": {"a/b": {"policy": "fixed"}}}, "file's name"),
        ({"policies": {".hidden": {"policy": "fixed"}}}, "file's name"),
        ({"policies": {"v": {"policy": "majority", "samples": []}}}, "policies.v.samples"),
        ({"policies": {"v": {"samples": 3}}}, "policies.v.policy must name a policy"),
        ({"engines": {"a": SIMULATED}}, "engine and engines exclude"),
        ({"questions": ["pocket", "pocket"]}, "'pocket' is there twice"),
        ({"questions": [{"name": "pocket", "pth": "x"}]}, "pth is not a known key"),
        ({"engine": {"url": "http://x", "modle": "m"}}, "did you mean 'model'"),
    ],
)
def test_a_mistake_is_told_by_its_place(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        settings(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"policies": {"v": {"policy": "majority", "sample": 3}}}, "did you mean 'samples'"),
        ({"policies": {"v": {"policy": "majorty"}}}, "policies.v: unknown policy"),
        ({"questions": "pocket"}, "does not know 12 of 12 questions, the first 'easy-0001'"),
        ({"engine": {"kind": "vllm", "model": "Qwen/Qwen3-8B"}}, "questions is missing"),
        ({"questions": "recorded"}, "go with a replayed engine"),
        (
            {"engine": {"url": "http://localhost:1"}, "policies": {"o": {"policy": "m.py:Mine"}}},
            "cannot run on endpoint http://localhost:1",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        prepare(settings(**fields))


def test_every_question_is_answered_and_scored_once_a_cell(tmp_path: Path) -> None:
    assert ran(settings(seeds=2), tmp_path) == 4 * 12
    for cell in all_cells(settings(seeds=2)):
        found = lines(cell.path(tmp_path))
        assert len({line["id"] for line in found}) == len(found) == 12
        assert [line["turn"] for line in found] == list(range(12))
        for line in found:
            assert tuple(line) == NAMES
            assert (line["policy"], line["seed"]) == (cell.policy, cell.seed)
            assert line["reference"] == reference(line["id"])
            assert line["correct"] is (line["answer"] == line["reference"])
            assert line["tokens"] == sum(line["chain_tokens"])
            assert len(line["chain_answers"]) == line["chains"] == (3 if "v" in cell.policy else 1)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_greedy_chain_is_the_same_with_every_seed_and_samples_are_not(tmp_path: Path) -> None:
    ran(settings(seeds=2, limit=60), tmp_path)
    by_cell = {
        (cell.policy, cell.seed): {line["id"]: line["chain_answers"] for line in lines(path)}
        for cell in all_cells(settings(seeds=2))
        if (path := cell.path(tmp_path))
    }
    assert by_cell["plain", 0] == by_cell["plain", 1]
    assert by_cell["votes", 0] != by_cell["votes", 1]


def test_policies_meet_the_same_chains(tmp_path: Path) -> None:
    grid = {"v": {"policy": "majority", "samples": [2, 4]}}
    ran(settings(policies=grid), tmp_path)
    two, four = (lines(cell.path(tmp_path)) for cell in all_cells(settings(policies=grid)))
    fewer = {line["id"]: line["chain_answers"] for line in two}
    assert all(line["chain_answers"][:2] == fewer[line["id"]] for line in four)


def test_what_is_there_is_not_run_again(tmp_path: Path) -> None:
    ran(settings(), tmp_path)
    plain, votes = (cell.path(tmp_path) for cell in all_cells(settings()))
    before = plain.stat().st_mtime_ns
    votes.unlink()
    votes.with_suffix(".partial").write_text('{"torn', encoding="utf-8")
    assert ran(settings(), tmp_path) == 12
    assert ran(settings(), tmp_path) == 0
    assert plain.stat().st_mtime_ns == before
    assert len(lines(votes)) == 12


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    config = settings(policies={"priced": {"policy": "priced"}, **POLICIES}, limit=15)
    for name, processes in (("once", 1), ("again", 2)):
        ran(config, tmp_path / name, processes=processes)
        paths = [cell.path(tmp_path / name) for cell in all_cells(config)]
        write_results(tmp_path / name, paths)
    once = {path.relative_to(tmp_path / "once") for path in (tmp_path / "once").rglob("*.*")}
    assert {str(path) for path in once} >= {"results.parquet", "results.jsonl"}
    assert any("priced~0.curves.json" in str(path) for path in once)
    for path in once:
        assert (tmp_path / "once" / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


def test_another_seed_asks_in_another_order(tmp_path: Path) -> None:
    ran(settings(seeds=2), tmp_path)
    first, _, second, _ = (lines(cell.path(tmp_path)) for cell in all_cells(settings(seeds=2)))
    assert [line["id"] for line in first] != [line["id"] for line in second]
    assert {line["id"] for line in first} == {line["id"] for line in second}


@pytest.mark.slow
@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.3, 15, 45), (1.0, 100, 100)])
def test_only_a_share_of_the_answers_is_learned_from(
    tmp_path: Path, share: float, low: int, high: int
) -> None:
    config = settings(policies={"p": {"policy": "priced"}}, limit=100, labelled=share)
    ran(config, tmp_path)
    (cell,) = all_cells(config)
    curves = json.loads(cell.path(tmp_path).with_suffix(".curves.json").read_text("utf-8"))
    assert sum(line["statistics"]["queries"] for line in curves["classes"]) == 100
    labelled = sum(line["labelled"] for line in lines(cell.path(tmp_path)))
    assert low <= labelled <= high
    assert all(line["correct"] is not None for line in lines(cell.path(tmp_path)))


def test_a_budget_holds_for_every_policy(tmp_path: Path) -> None:
    config = settings(policies={"v": {"policy": "majority", "samples": 9}}, max_total_tokens=300)
    ran(config, tmp_path)
    found = load_results(tmp_path)
    assert max(row["tokens"] for row in found) <= 300


def recorded(tmp_path: Path, **fields: Any) -> Path:
    votes = {"votes": {"policy": "majority", "samples": 5}}
    config = settings(policies=votes, outcomes=True, **fields)
    ran(config, tmp_path / "recorded")
    return tmp_path / "recorded" / "outcomes"


def test_a_recording_is_replayed_with_another_policy(tmp_path: Path) -> None:
    outcomes = recorded(tmp_path)
    engine = {"kind": "replayed", "recording": str(outcomes)}
    policies = {"v": {"policy": "majority", "samples": [2, 5]}}
    config = settings(policies=policies, engine=engine, limit=None)
    ran(config, tmp_path / "replayed")
    (log,) = outcomes.glob("*.jsonl")
    chains = {
        line["question_id"]: sorted(sample["answer"] for sample in line["samples"])
        for line in lines(log)
    }
    two, five = (lines(cell.path(tmp_path / "replayed")) for cell in all_cells(config))
    assert {line["id"]: sorted(line["chain_answers"]) for line in five} == chains
    again = {line["id"]: line["chain_answers"] for line in five}
    assert all(line["chain_answers"] == again[line["id"]][:2] for line in two)
    assert {line["seconds"] > 0 for line in five} == {True}


def test_chains_that_were_not_recorded_fail_their_question_alone(tmp_path: Path) -> None:
    engine = {"kind": "replayed", "recording": str(recorded(tmp_path))}
    policies = {name: {"policy": "majority", "samples": n} for name, n in (("six", 6), ("one", 1))}
    config = settings(policies=policies, engine=engine, limit=None)
    ran(config, tmp_path / "replayed")
    six, one = (lines(cell.path(tmp_path / "replayed")) for cell in all_cells(config))
    assert {line["correct"] for line in six} == {None}
    assert all("has 5 sampled chains of" in line["error"] for line in six)
    assert {line["error"] for line in one} == {None}
    assert {row["policy"] for row in load_results(tmp_path / "replayed")} == {"one"}


def test_vote_traces_are_replayed_in_an_order_of_each_seed(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    rows = [f"q{q},{s},{10 + s},{s},{int(s == 3)}" for q in range(4) for s in range(6)]
    text = "qid,sid,length,answer,correct\n" + "\n".join(rows) + "\n"
    (traces / "easy.csv").write_text(text, encoding="utf-8")
    engine = {"kind": "replayed", "recording": str(traces)}
    policies = {"v": {"policy": "majority", "samples": 6}}
    config = settings(policies=policies, engine=engine, seeds=2, limit=None)
    ran(config, tmp_path / "out")
    first, second = (lines(cell.path(tmp_path / "out")) for cell in all_cells(config))
    for line in first + second:
        assert line["class"] == "easy" and line["tokens"] == 75 and line["reference"] == "3"
        assert [answer == "3" for answer in line["chain_answers"]] == line["chain_correct"]
    orders = [{line["id"]: line["chain_answers"] for line in part} for part in (first, second)]
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"limit": 13}, "questions.simulated on simulated"),
        ({"price": 0.01}, "price"),
        (
            {"policies": POLICIES | {"votes": {"policy": "majority", "samples": 5}}},
            "policies.votes",
        ),
        ({"engine": {"kind": "simulated", "max_num_seqs": 3}}, "engines.simulated"),
        ({"labelled": 0.5}, "labelled"),
    ],
)
def test_another_experiment_does_not_go_on_in_a_folder(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    (tmp_path / "out").mkdir()
    ran(settings(), tmp_path / "out")
    with pytest.raises(ResumeRefused, match=named):
        claim(prepare(settings(**fields)), tmp_path / "out")
    claim(prepare(settings(**fields)), tmp_path / "out", force=True)
    assert len(list((tmp_path / "out" / "before-1" / "cells").glob("*.jsonl"))) == 2
    assert not (tmp_path / "out" / "cells").exists()


def test_a_changed_file_of_questions_or_of_a_policy_is_another_experiment(tmp_path: Path) -> None:
    trace, own = tmp_path / "easy.csv", tmp_path / "own.py"
    head = "qid,sid,length,answer,correct\nq0,0,10,1,1\n"
    trace.write_text(head, encoding="utf-8")
    code = (ROOT / "policies" / "majority.py").read_text(encoding="utf-8")
    own.write_text(code.replace('"majority"', '"mine"'), encoding="utf-8")
    config = settings(
        engine={"kind": "replayed", "recording": str(trace)},
        policies={"own": {"policy": f"{own}:Majority"}},
    )
    (tmp_path / "out").mkdir()
    claim(prepare(config), tmp_path / "out")
    claim(prepare(config), tmp_path / "out")
    own.write_text(own.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    with pytest.raises(ResumeRefused, match="policies.own"):
        claim(prepare(config), tmp_path / "out")
    own.write_text(own.read_text(encoding="utf-8").removesuffix("\n# changed\n"), "utf-8")
    trace.write_text(head + "q0,1,10,1,1\n", encoding="utf-8")
    with pytest.raises(ResumeRefused, match="engines.replayed"):
        claim(prepare(config), tmp_path / "out")


def test_more_seeds_and_policies_are_the_same_experiment(tmp_path: Path) -> None:
    claim(prepare(settings()), tmp_path)
    claim(prepare(settings(seeds=3, policies=POLICIES | {"p": {"policy": "priced"}})), tmp_path)
    claim(prepare(settings()), tmp_path)
    made = json.loads((tmp_path / NAME).read_text("utf-8"))["made with"]
    assert {"policies.p", "policies.votes", "code"} <= made.keys()


def test_the_settings_come_back_from_a_folder(tmp_path: Path) -> None:
    config = settings(
        policies={"v": {"policy": "majority", "samples": [1, 2]}},
        questions=[{"name": "simulated", "limit": 5}],
        price={"tokens_per_query": 300.0},
    )
    claim(prepare(config), tmp_path)
    found, _ = config_of(tmp_path)
    assert dataclasses.asdict(found) == dataclasses.asdict(config)
    assert found.named_policies == config.named_policies


@pytest.mark.slow
def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    config = tmp_path / "e.toml"
    config.write_text('limit = 1\nengine.kind = "simulated"\npolicies.p.policy = "fixed"\n')
    command = [sys.executable, "-m", "thinkbudget", "experiment", "run", str(config), "-o"]

    def second() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True
        )

    with locked(tmp_path / "out"):
        refused = second()
        assert (refused.returncode, "being written by another run" in refused.stderr) == (2, True)
    assert second().returncode == 0


def test_files_of_nobody_knows_what_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="that no experiment wrote"):
        claim(prepare(settings()), tmp_path)


@pytest.mark.slow
def test_killed_and_resumed_it_comes_out_the_same(tmp_path: Path) -> None:
    config = tmp_path / "experiment.toml"
    config.write_text(
        'seeds = 2\nlimit = 150\nengine.kind = "simulated"\n[policies]\n'
        'votes = { policy = "majority", samples = [1, 2, 4] }\nlearned = { policy = "priced" }\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "thinkbudget", "experiment"]

    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True)

    run("run", str(config), "-o", str(tmp_path / "whole"))
    begun = subprocess.Popen(
        [*command, "run", str(config), "-o", str(tmp_path / "killed")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list((tmp_path / "killed").glob("cells/*.jsonl"))) < 4 and begun.poll() is None:
        time.sleep(0.01)
    begun.kill()
    begun.wait()
    run("resume", str(tmp_path / "killed"))
    for name in ("results.jsonl", "results.parquet"):
        whole, killed = (tmp_path / kind / name for kind in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()
