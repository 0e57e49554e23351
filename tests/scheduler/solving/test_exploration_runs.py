"""Exploration runs under way are counted by class and plan, and forgotten with their queries."""

from policies.plan import Budget, Plan
from scheduler.solving.exploration_runs import ExplorationRuns

EXTENSIONS, VOTES = (
    Plan(name, Budget.within(None), None, True) for name in ("extensions", "votes")
)


def test_exploration_runs_are_told_by_class_and_plan_until_they_end() -> None:
    exploration_runs = ExplorationRuns()
    assert not exploration_runs and exploration_runs.of("sums") == {}
    for query_class, plan in (
        ("sums", EXTENSIONS),
        ("sums", EXTENSIONS),
        ("sums", VOTES),
        ("poems", VOTES),
    ):
        exploration_runs.begin(query_class, plan)
    assert exploration_runs.of("sums") == {"extensions": 2, "votes": 1}
    assert exploration_runs.of("poems") == {"votes": 1}
    exploration_runs.end("sums", EXTENSIONS)
    exploration_runs.end("poems", VOTES)
    assert exploration_runs.of("sums") == {"extensions": 1, "votes": 1}
    assert exploration_runs.of("poems") == {} and exploration_runs
    exploration_runs.end("sums", EXTENSIONS)
    exploration_runs.end("sums", VOTES)
    assert not exploration_runs
