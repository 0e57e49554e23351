"""What accuracy one token must buy: fixed, or steered so that a goal is held.

    price <- price * exp(rate * error + repay * surplus)

`error` is by how far the last query missed the goal, in units of the goal; with `repay` = 0 this is
dual mirror descent for one resource (Balseiro, Lu and Mirrokni, arXiv 2011.10124), which needs to
know nothing of the queries to come. It forgets what was misspent on the way; the second term pays
that back: `surplus` is a token bucket that fills with every query's allowance and is emptied by
what the query took (replenished budgets: arXiv 2306.08470). Its depth bounds what is remembered.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

LOWEST, HIGHEST = 1e-9, 1e-2
# 3 points of accuracy for 100 tokens: right for the embedded model. Models that think for thousands
# of tokens need a tenth of it or less.
DEFAULT_PRICE = 3e-4
DEPTH = 200.0
"""How many queries' allowances the bucket of a server holds; a job remembers all."""
_RATE = 0.1
_REPAY = _RATE**2 / 8
"""Damps without overshoot where spending falls with the square root of the price."""
_MOST_ERROR = 5.0
_ACCURACY_SCALE = 2.0
"""A point of accuracy weighs like so many per cent of tokens: it moves less than they do."""
_TRUSTED = 10.0
"""Predictions count like so many answers that were checked and found as predicted."""
_REMEMBERED = 500.0
"""Checked answers after which an old one hardly counts any more: the first predictions of a class
are the worst."""


@dataclass(frozen=True, slots=True)
class Price:
    """Accuracy per token. At most one goal: mean tokens of a query, or the share of right answers.

    `surplus` is what was spent above the goal so far, in queries' allowances (below it: negative).
    """

    per_token: float = DEFAULT_PRICE
    tokens_per_query: float | None = None
    accuracy: float | None = None
    depth: float = DEPTH
    surplus: float = 0.0
    queries: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.per_token < 1:
            raise ValueError(f"per_token must be in (0, 1), got {self.per_token!r}")
        tokens, accuracy = self.tokens_per_query, self.accuracy
        if tokens is not None and not 0 < tokens < math.inf:
            raise ValueError(f"tokens_per_query must be positive and finite, got {tokens!r}")
        if accuracy is not None and not 0 < accuracy < 1:
            raise ValueError(f"accuracy must be in (0, 1), got {accuracy!r}")
        if tokens is not None and accuracy is not None:
            raise ValueError(f"accuracy ({accuracy!r}) and tokens_per_query exclude each other")

    @classmethod
    def for_tokens(cls, tokens_per_query: float, start: float | None = None) -> Self:
        """Starts where the whole budget must buy a tenth of accuracy, unless a price is given."""
        checked = cls(tokens_per_query=tokens_per_query)
        return replace(checked, per_token=start or _clipped(0.1 / tokens_per_query))

    @classmethod
    def for_job(cls, tokens: float, queries: int, start: float | None = None) -> Self:
        """All queries of a job together; whatever was misspent early is paid back in the end."""
        if not 0 < tokens < math.inf:
            raise ValueError(f"tokens_per_job must be positive and finite, got {tokens!r}")
        return replace(cls.for_tokens(tokens / max(1, queries), start), depth=math.inf)

    @classmethod
    def for_accuracy(cls, accuracy: float, start: float | None = None) -> Self:
        return cls(start or DEFAULT_PRICE, accuracy=accuracy)

    def after(
        self, tokens: float, accuracy: float | None = None, right: float | None = None
    ) -> Self:
        """The price for the query after one that took this many tokens.

        `accuracy` is whether it was right, or an unbiased guess of that (`Rectifier`); None says
        that nothing is known. Where `right` tells more than the guess, it is what is paid back: one
        answer says little of the next, but the goal is of what was served. A goal of accuracy
        ignores the tokens, and the other way round.
        """
        if self.tokens_per_query is not None:
            error = missed = _finite("tokens", tokens) / self.tokens_per_query - 1.0
        elif self.accuracy is not None and accuracy is not None:
            served = accuracy if right is None else right
            error = _ACCURACY_SCALE * (_finite("accuracy", accuracy) - self.accuracy)
            missed = _ACCURACY_SCALE * (_finite("right", served) - self.accuracy)
        else:
            return self
        surplus = min(self.depth, max(-self.depth, self.surplus + missed))
        step = _RATE * min(_MOST_ERROR, error) + _REPAY * surplus
        price = _clipped(self.per_token * math.exp(min(1.0, max(-1.0, step))))
        return replace(self, per_token=price, surplus=surplus, queries=self.queries + 1)


@dataclass(frozen=True, slots=True)
class Rectifier:
    """How far predictions of accuracy are off on average, by the answers that were checked.

    The mean of rectified predictions is right though predictions are not (prediction-powered
    inference, arXiv 2301.09633). `off` is the sum of what was missed, `checked` how often.
    """

    off: float = 0.0
    checked: float = 0.0

    def after(self, predicted: float, right: float) -> Self:
        """With one more answer that was predicted to be right, and was or was not."""
        kept = 1 - 1 / _REMEMBERED
        return replace(
            self, off=kept * self.off + right - predicted, checked=kept * self.checked + 1
        )

    def rectified(self, predicted: float) -> float:
        return predicted + self.off / (self.checked + _TRUSTED)


def load_price(start: float, utilisation: float) -> float:
    """What a token costs those who wait: 0 on idle engines, without bound on full ones.

    The delay that one more token brings to a shared queue grows with 1 / (1 - u)^2 (arXiv
    2601.10274 for thinking tokens in an M/G/1 queue); `start` is that price where (1 - u)^2 = 1/2.
    """
    free = 1.0 - min(0.95, max(0.0, utilisation))
    return start * (free**-2 - 1.0)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value) or value < 0 and name == "tokens":
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return value


def _clipped(price: float) -> float:
    return min(HIGHEST, max(LOWEST, price))
