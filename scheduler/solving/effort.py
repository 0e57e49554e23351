"""What an effort is: what accuracy is worth to the caller, by the curve of the query's class.

    factor = span ** (2 * quantile - 1)

An effort is a quantile of the prices that curves are made for, which run from 1/8 to 8 times the
server's own. A token must buy so much less accuracy at more effort: "medium" is the server's price,
"max" an eighth of it. Load and tenants' shares stay in that price, and what buys nothing is not
spent at any effort. As long as a class has no curve, an effort is a cap on thinking tokens.
"""

from typing import Literal, NamedTuple

from policies.curves.curve import PRICE_LADDER, ClassCurve
from policies.exploration import is_cold
from policies.plan import MAX_TOKENS

QUANTILES = {"minimal": 0.0, "low": 0.25, "medium": 0.5, "high": 0.75, "xhigh": 0.875, "max": 1.0}
COLD_TOKENS = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 4096,
    "high": 16_384,
    "xhigh": 32_768,
    "max": MAX_TOKENS,
}
ROOM_SHARE = 0.8
"""Of the context, for thinking; the rest is for the prompt, as long as nobody has counted it."""


class Effort(NamedTuple):
    """`value` is what accuracy is worth, in the server's own; `tokens` the cap on thinking."""

    level: str
    by: Literal["curve", "table", "off"]
    value: float = 1.0
    tokens: int | None = None


def effort_of(level: str, curve: ClassCurve | None, *, priced: bool, room: int) -> Effort:
    """`priced` is whether the query's policy may spend by price; `room` is all of the context,
    less the answer's reserve.
    """
    if level == "none":
        return Effort(level, "off", tokens=0)
    if priced and curve is not None and not is_cold(curve.plans):
        return Effort(level, "curve", value=PRICE_LADDER[-1] ** (2 * QUANTILES[level] - 1))
    return Effort(level, "table", tokens=min(COLD_TOKENS[level], int(ROOM_SHARE * room)))
