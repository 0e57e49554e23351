"""Shadow runs under way are counted by class and plan, and forgotten with their queries."""

from policies.plan import Budget, Plan
from scheduler.solving.exploration_runs import Shadows

WAITS, VOTES = (Plan(name, Budget.within(None), None, True) for name in ("waits", "votes"))


def test_shadow_runs_are_told_by_class_and_plan_until_they_end() -> None:
    shadows = Shadows()
    assert not shadows and shadows.of("sums") == {}
    for query_class, plan in (("sums", WAITS), ("sums", WAITS), ("sums", VOTES), ("poems", VOTES)):
        shadows.begin(query_class, plan)
    assert shadows.of("sums") == {"waits": 2, "votes": 1}
    assert shadows.of("poems") == {"votes": 1}
    shadows.end("sums", WAITS)
    shadows.end("poems", VOTES)
    assert shadows.of("sums") == {"waits": 1, "votes": 1}
    assert shadows.of("poems") == {} and shadows
    shadows.end("sums", WAITS)
    shadows.end("sums", VOTES)
    assert not shadows
