"""How sure a chain is, measured while it runs (DeepConf, arXiv 2508.15260, section 2)."""

import math
from collections import deque
from collections.abc import Iterable

from policies.signals import Confidence, Signals
from workers.drivers.core import TokenLogprobs, floored


class ConfidenceMeter:
    """Sums of token confidences; constant work a token, one window of memory."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._window: deque[float] = deque(maxlen=signals.window)
        self._window_sum = self._sum = self._answer_sum = 0.0
        self._count = self._answer_count = 0
        self._lowest: float | None = None

    def think(self, tokens: Iterable[TokenLogprobs]) -> None:
        for token in tokens:
            confidence = -sum(map(floored, token.top)) / len(token.top)
            if len(self._window) == self._signals.window:
                self._window_sum -= self._window[0]
            self._window.append(confidence)
            self._window_sum += confidence
            self._sum += confidence
            self._count += 1
            if len(self._window) == self._signals.window:
                mean = self._window_sum / self._signals.window
                self._lowest = mean if self._lowest is None else min(self._lowest, mean)

    def answer(self, tokens: Iterable[TokenLogprobs]) -> None:
        for token in tokens:
            self._answer_sum += floored(token.sampled)
            self._answer_count += 1

    @property
    def unsure(self) -> bool:
        """Whether a full window has fallen below the limit of the request."""
        limit = self._signals.end_below
        return limit is not None and self._lowest is not None and self._lowest < limit

    def read(self) -> Confidence:
        """Thinking shorter than a window is one window."""
        mean = self._sum / self._count if self._count else None
        return Confidence(
            mean=mean,
            lowest=mean if self._lowest is None else self._lowest,
            tail=self._window_sum / len(self._window) if self._window else None,
            answer=geometric_mean(self._answer_sum, self._answer_count),
        )


def geometric_mean(sum_of_logarithms: float, count: int) -> float | None:
    return math.exp(sum_of_logarithms / count) if count else None
