"""What controllers tell the curve store of."""

from typing import NamedTuple

from policies.curves.observation import Observation
from policies.price import DEFAULT_PRICE


class ObservationRecord(NamedTuple):
    """One observation of one model's class; `price` is what a token had to buy.

    With a `reward` it is only the label, come later, of what was seen before: of this `answer`.
    """

    model: str
    observation: Observation
    price: float = DEFAULT_PRICE
    answer: str = ""
    reward: float | None = None
