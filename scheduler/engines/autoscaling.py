"""How many engines the work needs: a pure rule on the tokens that they still owe.

Requests are a poor measure where one costs a hundred times another.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

TOKENS = "owed_tokens"
# An engine is let go only if those that stay are no busier than this share of the goal.
CALM = 0.7


def engines_wanted(tokens: float, *, tokens_per_replica: float, running: int) -> int:
    """So many that none owes more than its goal; fewer than now only if those left stay calm."""
    needed = math.ceil(tokens / tokens_per_replica)
    if needed >= running:
        return needed
    return min(running, math.ceil(tokens / (CALM * tokens_per_replica)))


class AutoscalingContext(Protocol):
    """The part of ray.serve.config.AutoscalingContext that is looked at."""

    current_num_replicas: int
    target_num_replicas: int

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None: ...


class TokenBacklog:
    """Ray Serve's autoscaling policy: it adds the bounds and the delays."""

    def __init__(self, tokens_per_replica: float) -> None:
        self._goal = tokens_per_replica

    def __call__(self, situation: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        owed = (situation.aggregated_metrics or {}).get(TOKENS)
        if not owed:
            return situation.target_num_replicas, {}
        running = max(situation.current_num_replicas, situation.target_num_replicas)
        wanted = engines_wanted(sum(owed.values()), tokens_per_replica=self._goal, running=running)
        return wanted, {}
