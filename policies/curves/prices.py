"""Tables and rules are fitted at a few prices; the one to use is the nearest by ratio."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class AtPrice(Protocol):
    @property
    def price(self) -> float: ...


T = TypeVar("T", bound=AtPrice)


def nearest(fitted: Iterable[T], price: float) -> T:
    """`price` is the accuracy that one token must buy."""
    return min(fitted, key=lambda one: max(one.price / price, price / one.price))
