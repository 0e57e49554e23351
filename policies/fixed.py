"""One chain under one budget, whatever the question: the paper's own setting."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_number


@dataclass(frozen=True, slots=True)
class Fixed(Policy):
    """Budget forcing with a fixed cap and a fixed number of extensions (s1, section 3.1).

    Without a `temperature` it is greedy where the model's thinking format means it so, as s1's
    does, and else sampled as the model's makers recommend. `max_thinking_tokens=None` is all that
    the context allows. `harness_compat` and `readme_compat` follow the paper's own code, and are
    greedy without a `temperature`.
    """

    max_thinking_tokens: int | None = None
    min_thinking_tokens: int = 0
    extensions: int = 0
    extension_text: str | None = None
    answer_tokens: int = 128
    temperature: float | None = None
    harness_compat: bool = False
    readme_compat: bool = False

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, at_least=0, at_most=2, optional=True)
        self._budget()

    @property
    def name(self) -> str:
        return "fixed"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            self.min_thinking_tokens,
            self.extensions,
            self.answer_tokens,
        )

    @property
    def max_chains(self) -> int:
        return 1

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            return Stop("plan done")
        budget = self._budget().capped(situation.max_thinking_tokens)
        # The paper's code decodes greedily, whatever the model.
        is_paper = self.harness_compat or self.readme_compat
        asked = 0.0 if is_paper and self.temperature is None else self.temperature
        return Draw(1, budget, situation.chain_temperature(asked), final=True)

    def _budget(self) -> Budget:
        return Budget.within(
            self.max_thinking_tokens,
            min_thinking_tokens=self.min_thinking_tokens,
            extensions=self.extensions,
            extension_text=self.extension_text,
            answer_tokens=self.answer_tokens,
            harness_compat=self.harness_compat,
            readme_compat=self.readme_compat,
        )
