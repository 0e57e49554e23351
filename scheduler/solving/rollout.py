"""An A/B split of a server's own queries between its policy and a candidate."""

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.base import Policy, Query

ArmOfSplit = Literal["current", "candidate"]
_WHOLE = 2.0**64


class Assignment(NamedTuple):
    """`propensity` is the probability with which a query falls to this arm, in (0, 1)."""

    arm: ArmOfSplit
    policy: Policy
    propensity: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """A `share` of the queries goes to the candidate, by a hash: all of one session to one arm.

    `salt` sets this split apart from earlier ones. Where only the share grows, the candidate keeps
    the queries that it has.
    """

    current: Policy
    candidate: Policy
    share: float
    salt: str = ""

    def assign(self, query: Query) -> Assignment:
        key = f"{self.salt}/{query.session or query.id}"
        drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / _WHOLE
        if drawn < self.share:
            return Assignment("candidate", self.candidate, self.share)
        return Assignment("current", self.current, 1 - self.share)
