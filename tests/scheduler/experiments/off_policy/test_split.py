"""An A/B split: who gets which policy, what its log tells, and what is promoted on it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from policies import build
from scheduler.config import ServeConfig
from scheduler.experiments.off_policy.promotion import promoted
from scheduler.experiments.off_policy.split_log import (
    LabelledOutcome,
    compare_arms,
    logs_of,
    read_split,
)
from scheduler.settings import from_table
from scheduler.solving.rollout import Rollout, split_of
from scheduler.startup import settings as checked
from tests.scheduler.experiments.logs import answered, lines_of
from tests.scheduler.simulation import make_query
from thinkbudget import main

SETTINGS = """# ours
port = 8001
outcomes = "{log}"

[policy]  # the present one
name = "fixed"

[rollout]
name = "majority"
share = 0.5
options = {{ samples = {samples} }}

[limits]
max_queue = 7  # kept
"""


def test_queries_fall_to_arms_by_their_share_and_sessions_stay_together() -> None:
    rollout = Rollout(build("fixed"), build("majority"), 0.2, "a")
    arms = [rollout.assign(make_query(id=str(number)))[0] for number in range(4000)]
    ours = [arm for arm in arms if arm.side == "candidate"]
    assert len(ours) / 4000 == pytest.approx(0.2, abs=0.02)
    assert {arm.propensity for arm in ours} == {0.2}
    assert {arm.propensity for arm in arms if arm.side == "current"} == {0.8}
    session = [rollout.assign(make_query(id=str(n), session="s"))[0].side for n in range(50)]
    assert len(set(session)) == 1
    more = Rollout(build("fixed"), build("majority"), 0.4, "a")
    for number, arm in enumerate(arms):
        if arm.side == "candidate":
            assert more.assign(make_query(id=str(number)))[0].side == "candidate"


def test_another_policy_option_or_file_is_another_split(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("a = 1")
    one = split_of(("fixed", {}), (f"{mine}:P", {"x": 1}))
    assert one == split_of(("fixed", {}), (f"{mine}:P", {"x": 1}))
    assert one != split_of(("fixed", {}), (f"{mine}:P", {"x": 2}))
    mine.write_text("a = 2")
    assert one != split_of(("fixed", {}), (f"{mine}:P", {"x": 1}))


def outcome(number: int, **fields: Any) -> dict[str, Any]:
    arm = {"side": fields.pop("side", "current"), "split": "s", "propensity": 0.5}
    plain = {"id": str(number), "session": None, "arm": arm, "correct": None, "time": number}
    return plain | {"tokens": {"total": 10}} | fields


def test_labels_count_in_their_order_and_of_a_session_the_first(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    lines = [
        outcome(1, correct=True),
        outcome(2),
        outcome(3, side="candidate", session="a"),
        outcome(4, side="candidate", session="a", correct=False),
        outcome(5, correct=True, arm=None),
        outcome(6),
    ]
    text = [json.dumps(line) + "\n" for line in lines]
    (tmp_path / "outcomes.jsonl.1").write_text("".join(text[:2]))
    log.write_text("".join(text[2:]))
    labels = [{"id": "2", "reward": 0.0, "time": 90}, {"id": "3", "reward": 1.0, "time": 50}]
    (tmp_path / "outcomes.jsonl.labels").write_text("".join(json.dumps(x) + "\n" for x in labels))
    assert [each.name for each in logs_of(log)] == ["outcomes.jsonl.1", "outcomes.jsonl"]
    found = read_split(log, "s")
    assert [(each.unit, each.reward, each.is_candidate) for each in found] == [
        ("1", 1.0, False),
        ("a", 0.0, True),
        ("2", 0.0, False),
    ]
    assert read_split(log, "another") == []
    with pytest.raises(ValueError, match="there is no such log"):
        read_split(tmp_path / "none.jsonl", "s")


def test_the_difference_is_estimated_without_bias() -> None:
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        ours = rng.random(400) < 0.3
        right = rng.random(400) < np.where(ours, 0.8, 0.7)
        outcomes = [
            LabelledOutcome(n, str(n), bool(c), 0.3 if c else 0.7, float(r), 100 + 50 * int(c))
            for n, (c, r) in enumerate(zip(ours, right, strict=True))
        ]
        found.append(compare_arms(outcomes, 0.02))
    means = np.array([each.bounds.mean for each in found])
    assert means.mean() == pytest.approx(0.1, abs=3 * means.std() / 200**0.5)
    assert {each.tokens for each in found} == {50.0}
    priced = compare_arms(outcomes, 0.02, price=0.004)
    assert priced.bounds.mean < found[-1].bounds.mean


def promote(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["policy", "promote", *map(str, arguments)])


def split_settings(folder: Path, *, count: int = 0, new: float = 0.0, old: float = 0.0) -> Path:
    """Settings with a log of so many labelled queries; accuracies of candidate and policy."""
    log, file = folder / "outcomes.jsonl", folder / "serve.toml"
    file.write_text(SETTINGS.format(log=log, samples=5))
    rng, lines = np.random.default_rng(3), []
    for number in range(count):
        side = "candidate" if rng.random() < 0.5 else "current"
        right = bool(rng.random() < (new if side == "candidate" else old))
        arm = {"side": side, "split": split_in(file), "propensity": 0.5}
        lines.append(outcome(number, arm=arm, correct=right, tokens={"total": 100}))
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def split_in(file: Path) -> str:
    config = from_table(ServeConfig, tomllib.loads(file.read_text()))
    assert config.rollout is not None
    return split_of(
        ("fixed", config.policy_options), ("majority", config.filled(config.rollout.options))
    )


def test_a_candidate_that_is_surely_better_is_promoted(tmp_path: Path) -> None:
    file = split_settings(tmp_path, count=700, new=0.95, old=0.7)
    before = file.read_text()
    dry = promote(file, "--dry-run")
    assert dry.exit_code == 0 and "would be promoted" in dry.output, dry.output
    assert file.read_text() == before
    result = promote(file)
    assert result.exit_code == 0, result.output
    assert "700 labelled queries" in result.output and "at least +" in result.output
    written = from_table(ServeConfig, tomllib.loads(file.read_text()))
    assert (written.policy.name, written.policy.options) == ("majority", {"samples": 5})
    assert written.rollout is None and written.limits.max_queue == 7
    assert "# ours" in file.read_text() and "max_queue = 7  # kept" in file.read_text()
    assert (tmp_path / "serve.toml.before").read_text() == before


def test_too_few_labels_say_how_many_more(tmp_path: Path) -> None:
    file = split_settings(tmp_path, count=60, new=0.9, old=0.7)
    before = file.read_text()
    result = promote(file, "--margin", 0)
    assert result.exit_code == 7
    assert "more labelled queries are likely needed" in result.output
    assert file.read_text() == before


def test_a_candidate_that_is_surely_worse_is_told_apart(tmp_path: Path) -> None:
    file = split_settings(tmp_path, count=500, new=0.4, old=0.9)
    result = promote(file)
    assert result.exit_code == 8 and "majority is worse by more than 0.02" in result.output


def test_a_log_without_labels_says_so(tmp_path: Path) -> None:
    result = promote(split_settings(tmp_path))
    assert result.exit_code == 7 and "has a label" in result.output


def test_what_is_missing_in_the_settings_is_named(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("port = 8001\n")
    result = promote(file)
    assert result.exit_code == 2 and "there is no [rollout]" in result.output
    file.write_text('[rollout]\nname = "fixed"\nshare = 0.1\n')
    result = promote(file)
    assert result.exit_code == 2 and "outcomes names no log" in result.output


@pytest.mark.parametrize(
    "text",
    [
        'policy = { name = "fixed" }\n[rollout]\nname = "majority"\nshare = 0.1\n',
        'policy.name = "fixed"\n[rollout]\nname = "majority"\nshare = 0.1\n[rollout.options]\n'
        'samples = 3\n[access]\nkeys = "k"\n',
        '[rollout]\nname = "mine.py:P"\nshare = 0.1\n',
    ],
)
def test_settings_are_rewritten_however_they_are_spelt(text: str) -> None:
    before, after = tomllib.loads(text), tomllib.loads(promoted(text))
    policy = after.pop("policy")
    assert policy["name"] == before["rollout"]["name"]
    assert policy.get("options") == before["rollout"].get("options")
    assert after == {k: v for k, v in before.items() if k not in ("policy", "rollout")}


def test_settings_that_cannot_be_rewritten_are_left_alone() -> None:
    with pytest.raises(ValueError, match="tables of their own"):
        promoted('policy = { name = """\n[x]""" }\n[rollout]\nname = "fixed"\nshare = 0.1\n')


def test_a_split_needs_a_log_and_a_policy_that_exists() -> None:
    split = {"name": "majority", "share": 0.1}
    with pytest.raises(ValueError, match="rollout needs outcomes"):
        checked({"engine": {"kind": "simulated"}, "rollout": split})
    with pytest.raises(ValueError, match="rollout: unknown policy 'majorty'"):
        checked({"engine": {"kind": "simulated"}, "rollout": split | {"name": "majorty"}})
    with pytest.raises(ValueError, match="shadow: unknown policy 'x'"):
        checked({"engine": {"kind": "simulated"}, "shadow": "x"})
    found = checked({"engine": {"kind": "simulated"}, "shadow": "majority"})
    assert found.shadowed is not None and found.shadowed.name == "majority"


def test_the_log_tells_arm_and_propensity(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    answered(build("fixed"), count=40, log=log, candidate=build("majority"), split="s")
    lines = lines_of(log)
    assert {(line["policy"], line["arm"]["side"]) for line in lines} == {
        ("fixed", "current"),
        ("majority", "candidate"),
    }
    assert {line["propensity"] for line in lines} == {0.5}
    assert len(read_split(log, "s")) == 40
