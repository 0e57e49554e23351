"""Six classes of questions whose chains may be cut, sampled and tried: the population of `priced`.

A question has a chance to be solved, a typical time to solve it in tokens, and perhaps a misleading
answer that errors agree on. A chain that is cut early is right less often; those of one class are
right more often shortly before their end than at it (overthinking, arXiv 2506.04210).
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from benchmarks.joint_replay import Costs, KnownQuestion
from policies.plan import Budget
from policies.signals import Probing
from scheduler.experiments.recordings import Prefix

COSTS = Costs(trial=24, answer=20)
CHAINS = 16
RIGHT = {str(answer): answer == 0 for answer in range(10)}


class ClassLaw(NamedTuple):
    """A chain that ends is right with a chance from Beta(a, b); `tau` is its median length."""

    a: float
    b: float
    tau: float
    sigma: float
    misleading: float
    overthinking: float = 0.0


LAWS = (
    ClassLaw(6, 1.0, 500, 0.6, 0.02),
    ClassLaw(2.2, 1.0, 1500, 0.7, 0.05),
    ClassLaw(1.2, 1.2, 4000, 0.7, 0.08),
    ClassLaw(0.5, 1.5, 7000, 0.6, 0.1),
    ClassLaw(2.0, 0.6, 900, 0.5, 0.03, overthinking=0.12),
    ClassLaw(1.0, 0.8, 300, 0.5, 0.15),
)


class CutChain(NamedTuple):
    """One chain of a question that is solved with some chance: its length in tokens, its luck, and
    the answer that it gives where it is wrong."""

    law: ClassLaw
    solved: float
    tokens: int
    luck: float
    error: int

    def end(self, budget: Budget) -> Prefix:
        return self.at(min(self.tokens, budget.max_thinking_tokens))

    def trials(self, probing: Probing, budget: Budget) -> Iterator[Prefix]:
        end = min(self.tokens, budget.max_thinking_tokens)
        return (self.at(position) for position in probing.at if position < end)

    def at(self, tokens: int) -> Prefix:
        """What it would answer after so many thinking tokens; "0" is right."""
        law, solved, part = self.law, self.solved, tokens / self.tokens
        if part >= 1:
            chance = max(0.02, solved - law.overthinking) if law.overthinking else solved
        elif law.overthinking and part > 0.35:
            chance = solved
        else:
            chance = 0.08 + (solved - 0.08) * 0.85 * part**1.5
        answer = "0" if self.luck < chance else str(self.error)
        return Prefix(tokens, answer, 0.5, answer == "0")


def question(number: int, rng: Random) -> KnownQuestion:
    """Of class `number`, with all chains that may ever be drawn."""
    law = LAWS[number]
    solved = rng.betavariate(law.a, law.b)
    tau = law.tau * math.exp(rng.gauss(0, law.sigma) + 0.8 * (0.6 - solved))
    follows = 0.75 if rng.random() < law.misleading else 0.3
    chains = tuple(
        CutChain(
            law,
            solved,
            max(1, int(tau * math.exp(rng.gauss(0, 0.35)))),
            rng.random(),
            1 if rng.random() < follows else 2 + rng.randrange(8),
        )
        for _ in range(CHAINS)
    )
    return KnownQuestion(str(number), "0", RIGHT, chains)
