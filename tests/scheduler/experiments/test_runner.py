"""Policies x seeds: each pair once, from cold, and the same again with the same seed."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.config import EngineConfig, ExperimentConfig, PolicyConfig
from scheduler.experiments import runner as experiment
from workers.simulated.clock import run_virtual
from workers.simulated.law import reference

POLICIES = {"plain": PolicyConfig("fixed"), "votes": PolicyConfig("majority", {"samples": 3})}


class Steps:
    def __init__(self) -> None:
        self.count = 0

    def advance(self, note: str = "") -> None:
        self.count += 1


def settings(**fields: Any) -> ExperimentConfig:
    common: dict[str, Any] = {"policies": POLICIES, "count": 12, "concurrency": 4}
    return ExperimentConfig(engine=EngineConfig(kind="simulated"), **(common | fields))


def ran(config: ExperimentConfig, folder: Path) -> int:
    steps = Steps()
    run_virtual(experiment.run(config, experiment.missing(config, folder), folder, steps))
    return steps.count


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_policy_runs_with_every_seed() -> None:
    pairs = experiment.pairs(settings(seeds=2))
    assert [(pair.label, pair.seed) for pair in pairs] == [
        ("plain", 0), ("votes", 0), ("plain", 1), ("votes", 1),
    ]  # fmt: skip
    assert pairs[1].path(Path("x")) == Path("x/votes.0.jsonl")


@pytest.mark.parametrize("label", ["", "a/b", ".hidden"])
def test_a_label_must_be_fit_for_a_files_name(label: str) -> None:
    with pytest.raises(ValueError, match="file's name"):
        experiment.pairs(settings(policies={label: PolicyConfig("fixed")}))


def test_a_policy_that_cannot_be_built_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="did you mean 'samples'"):
        experiment.pairs(settings(policies={"v": PolicyConfig("majority", {"sample": 3})}))


def test_every_question_is_answered_and_scored_once_a_pair(tmp_path: Path) -> None:
    assert ran(settings(seeds=2), tmp_path) == 4 * 12
    for pair in experiment.pairs(settings(seeds=2)):
        found = lines(pair.path(tmp_path))
        assert len({line["question"] for line in found}) == len(found) == 12
        assert {(line["policy"], line["seed"]) for line in found} == {(pair.label, pair.seed)}
        for line in found:
            assert line["reference"] == reference(line["question"])
            assert line["correct"] is (line["answer"] == line["reference"])
        assert pair.path(tmp_path).with_suffix(".curves.json").is_file()
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_there_is_not_run_again(tmp_path: Path) -> None:
    ran(settings(), tmp_path)
    before = (tmp_path / "plain.0.jsonl").stat().st_mtime_ns
    (tmp_path / "votes.0.jsonl").unlink()
    (tmp_path / "votes.0.partial").write_text('{"torn', encoding="utf-8")
    assert ran(settings(seeds=1), tmp_path) == 12
    assert ran(settings(seeds=1), tmp_path) == 0
    assert (tmp_path / "plain.0.jsonl").stat().st_mtime_ns == before
    assert len(lines(tmp_path / "votes.0.jsonl")) == 12


def test_the_same_seed_gives_the_same_outcomes(tmp_path: Path) -> None:
    config = settings(policies={"priced": PolicyConfig("priced")}, count=40)
    ran(config, tmp_path / "once")
    ran(config, tmp_path / "again")
    for name in ("priced.0.jsonl", "priced.0.curves.json"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_another_seed_asks_in_another_order(tmp_path: Path) -> None:
    ran(settings(seeds=2), tmp_path)
    first, second = lines(tmp_path / "plain.0.jsonl"), lines(tmp_path / "plain.1.jsonl")
    assert [line["question"] for line in first] != [line["question"] for line in second]
    assert {line["question"] for line in first} == {line["question"] for line in second}


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.3, 40, 80), (1.0, 200, 200)])
def test_only_a_share_of_the_answers_is_learned_from(
    tmp_path: Path, share: float, low: int, high: int
) -> None:
    config = settings(policies={"plain": PolicyConfig("fixed")}, count=200, labelled=share)
    ran(config, tmp_path)
    curves = json.loads((tmp_path / "plain.0.curves.json").read_text(encoding="utf-8"))
    labelled = sum(line["statistics"]["labelled"] for line in curves["classes"])
    seen = sum(line["statistics"]["queries"] for line in curves["classes"])
    assert seen == 200
    assert low <= labelled <= high
    assert all(line["correct"] is not None for line in lines(tmp_path / "plain.0.jsonl"))


def test_a_recording_is_replayed_with_another_policy(tmp_path: Path) -> None:
    ran(settings(policies={"votes": PolicyConfig("majority", {"samples": 5})}), tmp_path)
    questions = tmp_path / "questions" / "set.jsonl"
    questions.parent.mkdir()
    questions.write_text(
        "".join(
            json.dumps({"question": line["question"], "answer": line["reference"]}) + "\n"
            for line in lines(tmp_path / "votes.0.jsonl")
        ),
        encoding="utf-8",
    )
    engine = EngineConfig(kind="replayed", recording=str(tmp_path / "votes.0.jsonl"))
    policies = {"fewer": PolicyConfig("majority", {"samples": 2})}
    config = ExperimentConfig(policies=policies, engine=engine, questions=str(questions))
    ran(config, tmp_path / "replayed")
    recorded = {
        line["question"]: [sample["answer"] for sample in line["samples"]]
        for line in lines(tmp_path / "votes.0.jsonl")
    }
    for line in lines(tmp_path / "replayed" / "fewer.0.jsonl"):
        answers = [sample["answer"] for sample in line["samples"]]
        assert answers == recorded[line["question"]][:2]
