"""What one chain may spend, and what a policy means to do with one query."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from policies.curves.plans.settings import ChainSetting

MAX_TOKENS = 2**31 - 1
MAX_EXTENSION_CHARACTERS = 1000
MAX_STEP_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Budget:
    """One chain's allowance in tokens (s1, section 3.1: budget forcing).

    `max_thinking_tokens` bounds all thinking of the chain, forced extension text included;
    `extensions` is how many natural ends are replaced by `extension_text` (None: the format's own,
    "Wait" for s1); `answer_tokens` is reserved on top, so that an answer always exists.
    `max_tokens` bounds all tokens of the chain, delimiters and answer included (None: no bound but
    the others). Within it the answer may also use what the thinking has left.
    `answer_when_cut=False` rejects a chain that its cap has cut: it gives no answer (s1, section
    5.1: rejection sampling). `harness_compat` and `readme_compat` follow the paper's evaluation
    code and its README's loop.

    With `step_tokens` a chain only thinks one step, and pauses without an answer: after the first
    `step_text` that ends new thinking, or after so many new tokens. One that ends its thinking by
    itself within the step answers.
    """

    max_thinking_tokens: int
    min_thinking_tokens: int = 0
    extensions: int = 0
    extension_text: str | None = None
    answer_tokens: int = 128
    max_tokens: int | None = None
    answer_when_cut: bool = True
    harness_compat: bool = False
    readme_compat: bool = False
    step_tokens: int | None = None
    step_text: str | None = None

    def __post_init__(self) -> None:
        check_int("max_thinking_tokens", self.max_thinking_tokens)
        check_int("min_thinking_tokens", self.min_thinking_tokens)
        check_int("extensions", self.extensions, at_most=1000)
        check_int("answer_tokens", self.answer_tokens, at_least=1)
        check_int("max_tokens", self.max_tokens, at_least=1, optional=True)
        check_int("step_tokens", self.step_tokens, at_least=1, optional=True)
        if self.min_thinking_tokens > self.max_thinking_tokens:
            raise ValueError(
                f"min_thinking_tokens ({self.min_thinking_tokens}) is above "
                f"max_thinking_tokens ({self.max_thinking_tokens})"
            )
        if self.extensions and self.min_thinking_tokens >= self.max_thinking_tokens:
            raise ValueError(
                f"extensions is {self.extensions}, but no natural end is possible: "
                f"min_thinking_tokens and max_thinking_tokens are both {self.max_thinking_tokens}"
            )
        if self.harness_compat and self.readme_compat:
            raise ValueError("harness_compat and readme_compat exclude each other")
        if self.compat and not self.answer_when_cut:
            raise ValueError("answer_when_cut=False does not go with the compat semantics")
        if self.compat and self.step_tokens is not None:
            raise ValueError("step_tokens does not go with the compat semantics")
        _check_step_text(self.step_text, self.step_tokens)
        _check_extension_text(self.extension_text, may_be_empty=self.compat)

    @classmethod
    def within(cls, most: int | None, **fields: Any) -> "Budget":
        """One with this cap; None is all the room there is."""
        return cls(MAX_TOKENS if most is None else most, **fields)

    @property
    def compat(self) -> bool:
        return self.harness_compat or self.readme_compat

    @property
    def most_tokens(self) -> int:
        """Worst case of one chain, without the few tokens of the delimiters.

        The paper's evaluation code grants the cap to every round and cuts the sum afterwards.
        """
        if self.max_tokens is not None and not self.compat:
            return max(self.max_tokens, self.answer_tokens)
        rounds = self.extensions + 1 if self.harness_compat else 1
        return rounds * self.max_thinking_tokens + self.answer_tokens

    def limited(self, max_tokens: int) -> "Budget":
        """The same with at most so many tokens of the chain, a quarter of them for the answer."""
        answer = min(self.answer_tokens, max(1, max_tokens // 4))
        thinking = self.capped(max(0, max_tokens - answer))
        return replace(thinking, answer_tokens=answer, max_tokens=max_tokens)

    def capped(self, most: int) -> "Budget":
        """The same with at most so much thinking; `most` must not be negative.

        Where that would leave no natural end possible, the minimum falls one below the cap: the
        extensions are what was asked for, and one token is the least that can be given up. Without
        any thinking there is nothing to extend.
        """
        cap = min(most, self.max_thinking_tokens)
        extensions = self.extensions if cap else 0
        least = min(self.min_thinking_tokens, cap - 1 if extensions else cap)
        return replace(
            self, max_thinking_tokens=cap, min_thinking_tokens=least, extensions=extensions
        )


class Forecast(NamedTuple):
    """What a policy expects of its plan: chance of a right answer, and all tokens generated."""

    accuracy: float
    tokens: float

    def net_value(self, price: float) -> float:
        """Accuracy less the price of the tokens."""
        return self.accuracy - price * self.tokens


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy means to do with one query: chosen once, kept to its end, logged.

    `propensity` is the probability with which the policy would choose this plan in the same
    situation, so that other policies can be replayed on the log. `is_exploration` marks a run that
    goes on
    past the stop that would be best, to learn what the further steps would have given. `price` is
    that of the rule it follows; None is the query's own. `setting` says how
    `priced` spends its chains; None: another policy's plan.
    """

    name: str
    budget: Budget
    temperature: float | None = None
    is_exploration: bool = False
    propensity: float = 1.0
    forecast: Forecast | None = None
    price: float | None = None
    setting: ChainSetting | None = None

    def resumed(self, price: float) -> "Plan":
        """The same at another price of its query, explored no more; its chain may be extended.

        One that was forced on in one go, too: what it was forced to was all that paid before.
        """
        setting, budget = self.setting, self.budget
        if setting is not None and (self.is_exploration or setting.kind in ("whole", "forced")):
            setting, budget = (
                ChainSetting("extend", price, tried=setting.tried),
                replace(budget, extensions=0),
            )
        elif setting is not None and self.price:
            setting = setting.at(price / self.price)
        return replace(self, budget=budget, price=price, is_exploration=False, setting=setting)


def check_int(
    name: str,
    value: object,
    *,
    at_least: int = 0,
    at_most: int = MAX_TOKENS,
    optional: bool = False,
) -> None:
    """Refuse anything but a whole number in range; a bool is not a number here."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if not at_least <= value <= at_most:
        raise ValueError(f"{name} must be between {at_least} and {at_most}, got {value!r}")


def check_number(
    name: str,
    value: float | None,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    optional: bool = False,
) -> None:
    """Refuse a number out of range; a bool, and one that is none or infinite, is in no range."""
    if value is None and optional:
        return
    in_range = value is not None and above < value < below and at_least <= value <= at_most
    if not in_range or isinstance(value, bool):
        low = f"above {above:g}" if above > -math.inf else f"at least {at_least:g}"
        high = f"below {below:g}" if below < math.inf else f"at most {at_most:g}"
        raise ValueError(f"{name} must be {low} and {high}, got {value!r}")


def _check_step_text(text: object, tokens: int | None) -> None:
    if text is None:
        return
    if not isinstance(text, str) or not 0 < len(text) <= MAX_STEP_CHARACTERS:
        why = f"must be a text of 1 to {MAX_STEP_CHARACTERS} letters"
        raise ValueError(f"step_text {why}, got {text!r}")
    if tokens is None:
        raise ValueError(f"step_text is {text!r}, but step_tokens is not set")


def _check_extension_text(text: object, *, may_be_empty: bool) -> None:
    if text is None:
        return
    if not isinstance(text, str):
        raise ValueError(f"extension_text must be a text, got {text!r}")
    if not text and not may_be_empty:
        raise ValueError("extension_text '' has no tokens; None is the format's own")
    if len(text) > MAX_EXTENSION_CHARACTERS:
        raise ValueError(
            f"extension_text must be at most {MAX_EXTENSION_CHARACTERS} letters, got {len(text)}"
        )
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"extension_text must be whole letters, got {text!r}")
