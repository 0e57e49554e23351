"""What one chain may spend, and what a policy means to do with one query."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Budget:
    """One chain's allowance in tokens (s1, section 3.1: budget forcing).

    `max_thinking_tokens` bounds all thinking of the chain, forced extension text included;
    `extensions` is how many natural ends are replaced by `extension_text` (None: the format's own,
    "Wait" for s1); `answer_tokens` is reserved on top, so that an answer always exists.
    """

    max_thinking_tokens: int
    min_thinking_tokens: int = 0
    extensions: int = 0
    extension_text: str | None = None
    answer_tokens: int = 128

    def __post_init__(self) -> None:
        whole("max_thinking_tokens", self.max_thinking_tokens)
        whole("min_thinking_tokens", self.min_thinking_tokens)
        whole("extensions", self.extensions, at_most=1000)
        whole("answer_tokens", self.answer_tokens, at_least=1)
        if self.min_thinking_tokens > self.max_thinking_tokens:
            raise ValueError(
                f"min_thinking_tokens ({self.min_thinking_tokens}) is above "
                f"max_thinking_tokens ({self.max_thinking_tokens})"
            )
        if self.extension_text is not None and not self.extension_text:
            raise ValueError("extension_text must not be empty")

    @property
    def most_tokens(self) -> int:
        """Worst case of one chain, without the few tokens of the delimiters."""
        return self.max_thinking_tokens + self.answer_tokens


class Forecast(NamedTuple):
    """What a policy expects of its plan: chance of a right answer, and all tokens generated."""

    accuracy: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy means to do with one query: chosen once, kept to its end, logged.

    `propensity` is the probability with which the policy would choose this plan in the same
    situation, so that other policies can be replayed on the log. `shadow` marks a run that goes on
    past the stop that would be best, to learn what the further steps would have given.
    """

    name: str
    budget: Budget
    temperature: float | None = None
    shadow: bool = False
    propensity: float = 1.0
    forecast: Forecast | None = None


def whole(
    name: str,
    value: object,
    *,
    at_least: int = 0,
    at_most: int = 2**31 - 1,
    optional: bool = False,
) -> None:
    """Refuse anything but a whole number in range; a bool is not a number here."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if not at_least <= value <= at_most:
        raise ValueError(f"{name} must be between {at_least} and {at_most}, got {value!r}")
