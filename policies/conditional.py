"""Asking for a length in the prompt instead of forcing it: the paper's conditional baselines."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import MAX_TOKENS, Budget, check_int, check_number

TOKENS_PER_STEP = 100
SHORT = (
    "Answer after a short amount of thinking. Do not spend excessive time double-checking your "
    "work."
)
LONG = (
    "Answer after a long amount of thinking. If you feel like you are finished early, spend the "
    "extra time trying to double-check your work until you are absolutely sure that you have the "
    "correct answer."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional(Policy):
    """One chain, sampled as `fixed` is, whose question ends with an instruction for its length."""

    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        check_number("temperature", self.temperature, at_least=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def max_chains(self) -> int:
        return 1

    @property
    def instruction(self) -> str:
        raise NotImplementedError

    @property
    def cap(self) -> int | None:
        """The instruction as a budget, where it is to be forced."""
        return None

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            return Stop("plan done")
        caps = [cap for cap in (self.cap, self.max_thinking_tokens) if cap is not None]
        budget = situation.budget(min(caps, default=None), answer_tokens=self.answer_tokens)
        temperature = situation.chain_temperature(self.temperature)
        return Draw(1, budget, temperature, final=True, suffix=f"\n\n{self.instruction}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConditional(Conditional):
    """Think for up to so many tokens (s1, section 5.1); `forced` makes them the cap as well."""

    tokens: int = 2048
    forced: bool = False

    def __post_init__(self) -> None:
        Conditional.__post_init__(self)
        check_int("tokens", self.tokens, at_least=1)

    @property
    def name(self) -> str:
        return "token_conditional"

    @property
    def instruction(self) -> str:
        return f"Think for up to {self.tokens} tokens."

    @property
    def cap(self) -> int | None:
        return self.tokens if self.forced else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepConditional(Conditional):
    """Think for up to so many steps (s1, section 5.1).

    `forced` caps the thinking at the paper's measure of a step, 100 tokens. To end it where the
    model would write "0 steps left", as the paper's own forcing does, serve a model that counts
    down with the format s1-steps.
    """

    steps: int = 64
    forced: bool = False

    def __post_init__(self) -> None:
        Conditional.__post_init__(self)
        check_int("steps", self.steps, at_least=1, at_most=MAX_TOKENS // TOKENS_PER_STEP)

    @property
    def name(self) -> str:
        return "step_conditional"

    @property
    def instruction(self) -> str:
        return f"Think for up to {self.steps} steps."

    @property
    def cap(self) -> int | None:
        return TOKENS_PER_STEP * self.steps if self.forced else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassConditional(Conditional):
    """Think for a short or a long time (s1, section 5.1)."""

    length: Literal["short", "long"] = "short"

    @property
    def name(self) -> str:
        return "class_conditional"

    @property
    def instruction(self) -> str:
        return LONG if self.length == "long" else SHORT
