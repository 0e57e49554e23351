"""One chain under one budget, whatever the question: the paper's own setting."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Situation, Stop
from policies.plan import Budget


@dataclass(frozen=True, slots=True)
class Fixed:
    """Budget forcing with a fixed cap and a fixed number of extensions (s1, section 3.1).

    Greedy unless a temperature is given, as in the paper. `max_thinking_tokens=None` is all that
    the context allows.
    """

    max_thinking_tokens: int | None = None
    min_thinking_tokens: int = 0
    extensions: int = 0
    answer_tokens: int = 128
    temperature: float | None = 0.0

    @property
    def name(self) -> str:
        return "fixed"

    def __post_init__(self) -> None:
        most = self.max_thinking_tokens
        cap = self.min_thinking_tokens if most is None else most
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be in [0, 2], got {self.temperature!r}")
        Budget(cap, self.min_thinking_tokens, self.extensions, None, self.answer_tokens)

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            return Stop("plan done")
        budget = situation.budget(
            self.max_thinking_tokens,
            min_thinking_tokens=self.min_thinking_tokens,
            extensions=self.extensions,
            answer_tokens=self.answer_tokens,
        )
        return Draw(1, budget, self.temperature, final=True)
