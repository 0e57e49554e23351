"""What the curves learn from: observations of queries, and labels that came later."""

from typing import NamedTuple

from policies.curves.observation import Observation
from policies.price import DEFAULT_PRICE


class ObservationRecord(NamedTuple):
    """What one query shows of its model's class; `price` is what a token had to buy."""

    model: str
    observation: Observation
    price: float = DEFAULT_PRICE


class LabelRecord(NamedTuple):
    """A label that came after its query was observed: how right `answer` is, from 0 to 1."""

    model: str
    observation: Observation
    answer: str
    reward: float


Record = ObservationRecord | LabelRecord
