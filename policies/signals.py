"""What a policy may measure of its chains beside their answers, and the results.

Asking is not free: every trial answer of a probe is paid for in tokens. Confidence costs none.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.plan import check_int

Measure = Literal["lowest", "tail", "mean"]


@dataclass(frozen=True, slots=True)
class Probing:
    """Where to branch trial answers off a chain (Dynasor, arXiv 2412.20993).

    After `at` thinking tokens, after `every` so many, at the ends of `paragraphs`, or before
    forced `extensions`. `most` bounds the trials of one chain, `answer_tokens` the length of one.
    A chain that has ended ends its running trials, unless it `waits` for them.
    """

    at: tuple[int, ...] = ()
    every: int | None = None
    paragraphs: bool = False
    extensions: bool = False
    answer_tokens: int = 16
    most: int = 64
    waits: bool = False

    def __post_init__(self) -> None:
        for position in self.at:
            check_int("at", position, at_least=1)
        check_int("every", self.every, at_least=1, optional=True)
        check_int("answer_tokens", self.answer_tokens, at_least=1)
        check_int("most", self.most, at_least=1)
        if not (self.at or self.every or self.paragraphs or self.extensions):
            raise ValueError("at, every, paragraphs and extensions are all unset: nothing to probe")

    def most_trials(self, thinking_tokens: int, extensions: int) -> int:
        """How many trials one chain of so much thinking may have."""
        trials = sum(position <= thinking_tokens for position in self.at)
        trials += thinking_tokens // self.every if self.every else 0
        trials += thinking_tokens if self.paragraphs else 0
        trials += extensions if self.extensions else 0
        return min(self.most, trials)


@dataclass(frozen=True, slots=True)
class Signals:
    """Asks for a `Confidence`: of the `top` likeliest tokens, in windows of `window` tokens.

    A chain whose window falls below `end_below` ends there, "unsure" and without an answer.
    """

    top: int = 20
    window: int = 2048
    end_below: float | None = None

    def __post_init__(self) -> None:
        check_int("top", self.top, at_least=1)
        check_int("window", self.window, at_least=1)
        if self.end_below is not None and not math.isfinite(self.end_below):
            raise ValueError(f"end_below must be finite, got {self.end_below!r}")


class Probe(NamedTuple):
    """A trial answer, forced on a branch of a running chain (Dynasor, arXiv 2412.20993).

    `thinking_tokens` is where the branch left the chain. `probability` is the geometric mean of the
    probabilities of the answer's tokens (DEER's confidence, arXiv 2504.15895, section 3). `tokens`
    is the cost of the trial, forced tokens included. `answer` is None if the trial gave none.
    """

    chain: int
    thinking_tokens: int
    answer: str | None
    probability: float
    text: str = ""
    tokens: int = 0


class Confidence(NamedTuple):
    """How sure the model was of its own tokens, forced tokens left out.

    A token's confidence is the negative mean log-probability of its k likeliest tokens (DeepConf,
    arXiv 2508.15260, section 2), in nats: higher is surer. `mean` is over the thinking, `lowest`
    the least mean of any window, `tail` the mean of the last window. `answer` is the geometric mean
    probability of the answer's tokens, in [0, 1]. None where there were no such tokens.
    """

    mean: float | None = None
    lowest: float | None = None
    tail: float | None = None
    answer: float | None = None

    def of(self, measure: Measure) -> float | None:
        if measure == "mean":
            return self.mean
        return self.lowest if measure == "lowest" else self.tail
