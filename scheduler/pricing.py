"""What a token must buy right now: one price for all, more under load, more above a fair share."""

from dataclasses import dataclass, field
from typing import Self

from policies.price import HIGHEST, Price, load_price, rectified
from policies.shares import Shares
from scheduler.config import PriceConfig

_LEAST_LABELLED = 0.02


@dataclass(slots=True)
class Pricing:
    """`load_weight` is what load adds on engines in use by 29 %, in starting prices."""

    price: Price = field(default_factory=Price)
    load_weight: float = 0.0
    shares: Shares = field(default_factory=Shares)
    _start: float = field(init=False)
    _scored: int = 0
    _labelled: int = 0

    def __post_init__(self) -> None:
        self._start = self.price.per_token

    @classmethod
    def of(cls, config: PriceConfig) -> Self:
        return cls(config.price(), config.load, Shares(config.shares))

    def now(self, *, load: float = 0.0, tenant: str = "") -> float:
        """Accuracy that one token of this tenant's next query must buy."""
        common = self.price.per_token * self.shares.factor(tenant)
        return min(HIGHEST, common + load_price(self.load_weight * self._start, load))

    def settle(
        self,
        tokens: int,
        *,
        tenant: str = "",
        predicted: float | None = None,
        right: bool | None = None,
    ) -> None:
        """Learn what a query took, and whether it was right or with what chance it was."""
        self.shares.charge(tenant, tokens)
        accuracy = None
        if predicted is not None:
            self._scored += 1
            self._labelled += right is not None
            labelled = max(_LEAST_LABELLED, self._labelled / self._scored)
            accuracy = rectified(predicted, right, labelled)
        elif right is not None:
            accuracy = float(right)
        self.price = self.price.after(tokens, accuracy)
