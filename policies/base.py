"""What a policy may see and what it may say.

Everything here is a value: no I/O, no clock, no Ray. A policy reads a `Situation` and answers with
`Draw`, `Extend` or `Stop`; the scheduler enacts the answer, and may refuse it (limits, ledger).
"""

import math
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from policies.tally import Tally

if TYPE_CHECKING:
    from policies.curve import ClassCurve

StopReason = Literal[
    "settled", "not worth it", "plan done", "budget", "deadline", "no answer", "failed"
]


class Message(NamedTuple):
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of one query; None means unlimited. `value` scales accuracy against the price."""

    max_total_tokens: int | None = None
    deadline_seconds: float | None = None
    target_accuracy: float | None = None
    value: float = 1.0

    def __post_init__(self) -> None:
        whole("max_total_tokens", self.max_total_tokens, at_least=1, optional=True)
        if self.deadline_seconds is not None and not 0 < self.deadline_seconds < math.inf:
            raise ValueError(f"deadline_seconds must be positive, got {self.deadline_seconds!r}")
        if self.target_accuracy is not None and not 0 < self.target_accuracy <= 1:
            raise ValueError(f"target_accuracy must be in (0, 1], got {self.target_accuracy!r}")
        if not 0 < self.value < math.inf:
            raise ValueError(f"value must be positive and finite, got {self.value!r}")


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `reference` is the known right answer, used for learning and scoring only.

    `temperature` is the caller's wish; None leaves it to the policy.
    """

    id: str
    messages: tuple[Message, ...]
    query_class: str = "default"
    limits: Limits = field(default_factory=Limits)
    reference: str | None = None
    temperature: float | None = None


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


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw `samples` new chains. A temperature of None is the model's recommended one.

    `final` promises that this one chain's answer will be the query's: it may be streamed live.
    """

    samples: int
    budget: Budget
    temperature: float | None = None
    plan: Plan | None = None
    final: bool = False

    def __post_init__(self) -> None:
        whole("samples", self.samples, at_least=1, at_most=1024)
        if self.final and self.samples != 1:
            raise ValueError(f"final needs samples to be 1, got {self.samples!r}")


@dataclass(frozen=True, slots=True)
class Extend:
    """Go on with a finished chain: `extensions` more "Wait"s. `budget` is for all its thinking."""

    chain: int
    extensions: int
    budget: Budget
    temperature: float | None = None
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    reason: StopReason


Decision = Draw | Extend | Stop


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a policy may see.

    `price` is the accuracy that one token must buy; `plan` is what this policy decided earlier for
    the same query (None at the first decision); `pending` chains are still being sampled: until
    they are in, only a Stop is obeyed, and it cancels them. `load` is the engines' utilisation.
    """

    query: Query
    tally: Tally
    max_thinking_tokens: int
    curve: "ClassCurve | None" = None
    price: float = 0.0
    plan: Plan | None = None
    pending: int = 0
    tokens_spent: int = 0
    seconds_spent: float = 0.0
    load: float = 0.0

    def budget(
        self,
        max_thinking_tokens: int | None,
        *,
        min_thinking_tokens: int = 0,
        extensions: int = 0,
        answer_tokens: int = 128,
    ) -> Budget:
        """A budget that fits the context; a cap of None is all the room there is."""
        room = self.max_thinking_tokens
        cap = room if max_thinking_tokens is None else min(room, max_thinking_tokens)
        floor = min(min_thinking_tokens, cap)
        return Budget(cap, floor, extensions, answer_tokens=answer_tokens)


class Policy(Protocol):
    """`decide` is asked at the start and after every finished chain; it must not keep state."""

    @property
    def name(self) -> str: ...

    def decide(self, situation: Situation, rng: Random) -> Decision: ...


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
