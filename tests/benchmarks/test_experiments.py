"""The benchmark of experiments asks as many questions as it says, each with chains of its own."""

import tomllib
from pathlib import Path

from benchmarks.experiments import COUNT, HALF, POLICIES, parts
from policies import build
from scheduler.experiments.grid import expanded
from scheduler.experiments.recordings import load_recordings


def test_2000_questions_of_20_chains_each(tmp_path: Path) -> None:
    assert parts(tmp_path / "traces", None) == 2000
    found = load_recordings(tmp_path / "traces").votes
    assert len({name for trace in found for name in trace.names}) == 2000
    assert {len(chains) for trace in found for chains in trace.questions} == {HALF}
    assert parts(tmp_path / "few", 5) == 100


def test_twelve_policies() -> None:
    policies = expanded(tomllib.loads(POLICIES))
    assert len(policies) == COUNT
    for policy in policies.values():  # their options are known
        build(policy.name, **policy.options)
