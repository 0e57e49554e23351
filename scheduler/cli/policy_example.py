"""A policy: draws chains until one answer leads by `lead` votes, at most `samples` chains."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Policy, Situation, Stop


@dataclass(frozen=True)
class MyPolicy(Policy):
    # The fields are its options: --policy FILE.py:MyPolicy, and {"thinkbudget": {"lead": 3}}.
    lead: int = 2
    samples: int = 12

    @property
    def name(self) -> str:
        return "my_policy"

    @property
    def max_chains(self) -> int:
        return self.samples  # tokens are reserved for so many

    def decide(self, situation: Situation, rng: Random) -> Decision:
        # Called at the start, and after every chain that has finished. What has been answered:
        tally = situation.tally
        standing = tally.standing  # votes of the leader, the runner-up and the rest
        if standing.leader - standing.runner_up >= self.lead:
            return Stop("settled")
        if len(tally.votes) >= self.samples:
            return Stop("plan done")
        # One more chain. It may think as long as the context and the request allow (None).
        # Other decisions, and all that a situation holds: policies/base.py.
        return Draw(1, situation.budget(None))
