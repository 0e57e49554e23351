"""REBASE: a tree of thinking steps, in which the verifier's rewards say where to branch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from policies.base import Branch, Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number
from policies.rewards import Aggregation, Selection, chain_reward, weights
from policies.tally import Vote

MOST_CHAINS = 1024
# What the scheduler may append to a chain: delimiters, and dropped stops.
DELIMITER_TOKENS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebase(Policy):
    """Reward-balanced search (Wu et al., arXiv 2408.00724, section 3.2; s1, figure 7).

    All branches think one step: to the end of a line, or `step_tokens` tokens. Then the verifier
    judges them, and `width`, less the chains that have answered, is spread over the others by a
    softmax of their rewards at `reward_temperature`. After `steps` levels they think on to their
    end. Where the tokens of the query do not suffice for another level, the best answer at once.

    `choose` is how the answered chains vote in the end; `aggregation` makes one reward of those of
    a chain's steps.
    """

    width: int = 16
    steps: int = 25
    step_tokens: int = 256
    step_text: str = "\n"
    reward_temperature: float = 0.2
    choose: Selection = "weighted"
    aggregation: Aggregation = "last"
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_int("width", self.width, at_least=1, at_most=MOST_CHAINS)
        check_int("steps", self.steps, at_least=1, at_most=MOST_CHAINS)
        if self.width * (self.steps + 1) > MOST_CHAINS:
            raise ValueError(
                f"width is {self.width} and steps is {self.steps}: that may be "
                f"{self.width * (self.steps + 1)} chains, more than {MOST_CHAINS}"
            )
        Budget.within(
            self.max_thinking_tokens,
            answer_tokens=self.answer_tokens,
            step_tokens=self.step_tokens,
            step_text=self.step_text,
        )
        check_number("reward_temperature", self.reward_temperature, above=0)
        check_number("temperature", self.temperature, above=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        return "rebase"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens, answer_tokens=self.answer_tokens, reads_rewards=True
        )

    @property
    def max_chains(self) -> int:
        return self.width * (self.steps + 1)

    def decide(self, situation: Situation, rng: Random) -> Decision:
        votes = sorted(situation.tally.votes, key=lambda vote: vote.chain)
        most = self._affordable(situation)
        if not votes or situation.pending:
            budget = self._budget(situation, is_step=most is None or most >= 1)
            return Draw(self.width if most is None else max(1, min(self.width, most)), budget,
                        self.temperature)  # fmt: skip
        level, leaves = frontier(votes)
        left = self.width - sum(vote.stop_cause != "paused" for vote in votes)
        if not leaves or left <= 0:
            return Stop("plan done", weights(votes, self.choose, self.aggregation))
        how = self.aggregation
        rewards = {leaf.chain: chain_reward(leaf.rewards or (), how) for leaf in leaves}
        order = sorted(rewards, key=lambda chain: (-rewards[chain], chain))
        width = left if most is None else min(left, most)
        if width < 1:
            ones = tuple((chain, 1) for chain in order[:left])
            return Branch(ones, self._budget(situation), self.temperature, conclude=True)
        spread = balanced([rewards[chain] for chain in order], width, self.reward_temperature)
        widths = tuple((chain, n) for chain, n in zip(order, spread, strict=True) if n)
        budget = self._budget(situation, is_step=level < self.steps)
        return Branch(widths, budget, self.temperature)

    def _budget(self, situation: Situation, *, is_step: bool = False) -> Budget:
        step = {"step_tokens": self.step_tokens, "step_text": self.step_text} if is_step else {}
        return situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens, **step)

    def _affordable(self, situation: Situation) -> int | None:
        """Branches that can think a step, where one of them must be able to answer after it."""
        most = situation.query.limits.max_total_tokens
        if most is None:
            return None
        answer = self.answer_tokens + DELIMITER_TOKENS
        left = most - situation.tokens_spent - answer
        return max(0, left // (self.step_tokens + answer))


def frontier(votes: Sequence[Vote]) -> tuple[int, list[Vote]]:
    """The deepest level of a tree, the first being 1, and the chains there that have paused."""
    levels: dict[int, int] = {}
    for vote in votes:
        levels[vote.chain] = 1 + (0 if vote.parent is None else levels.get(vote.parent, 0))
    deepest = max(levels.values())
    at_end = [vote for vote in votes if levels[vote.chain] == deepest]
    return deepest, [vote for vote in at_end if vote.stop_cause == "paused"]


def balanced(rewards: Sequence[float], width: int, temperature: float) -> list[int]:
    """Branches for each of these rewards, the highest first: `width` in all.

    Each takes its share of what the ones before have left, rounded up, by the softmax over itself
    and those after it, as the published code does.
    """
    heights = [math.exp((reward - rewards[0]) / temperature) for reward in rewards]
    found = []
    for place, height in enumerate(heights):
        total = sum(heights[place:])
        share = width * height / total if total else 0.0
        found.append(min(width, math.ceil(share - 1e-9)))
        width -= found[-1]
    return found
