"""What a token must buy right now: one price for all, more under load, more above a fair share."""

from dataclasses import dataclass, field
from typing import Self

from policies.price import HIGHEST, Price, Rectifier, load_price
from policies.shares import Shares
from scheduler.config import PriceConfig


@dataclass(slots=True)
class Pricing:
    """`load_weight` is what load adds on engines in use by 29 %, in starting prices."""

    price: Price = field(default_factory=Price)
    load_weight: float = 0.0
    shares: Shares = field(default_factory=Shares)
    _start: float = field(init=False)
    _rectifier: Rectifier = field(default_factory=Rectifier)

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
        right: float | None = None,
    ) -> None:
        """Learn what a query took, and whether it was right or with what chance it was."""
        self.shares.charge(tenant, tokens)
        accuracy = right
        if predicted is not None:
            if right is not None:
                self.check(predicted, right)
            accuracy = self._rectifier.rectified(predicted)
        self.price = self.price.after(tokens, accuracy, right)

    def check(self, predicted: float, right: float) -> None:
        """Learn whether an answer was right that was settled by what was predicted of it."""
        self._rectifier = self._rectifier.after(predicted, right)
