"""An A/B split of a server's own queries between its policy and a candidate."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from policies.base import Policy, Query

_WHOLE = 2.0**64


class ArmOfSplit(NamedTuple):
    """The side of a split that a query fell to, with what probability, in (0, 1).

    `split` tells this split apart from others, of other policies.
    """

    side: Literal["current", "candidate"]
    split: str
    propensity: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """A `share` of the queries goes to the candidate, by a hash: all of one session to one arm.

    Where only the share grows, the candidate keeps the queries that it has.
    """

    current: Policy
    candidate: Policy
    share: float
    split: str = ""

    def assign(self, query: Query) -> tuple[ArmOfSplit, Policy]:
        key = f"{self.split}/{query.session or query.id}"
        drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / _WHOLE
        if drawn < self.share:
            return ArmOfSplit("candidate", self.split, self.share), self.candidate
        return ArmOfSplit("current", self.split, 1 - self.share), self.current


def split_of(*policies: tuple[str, Mapping[str, Any]]) -> str:
    """The name of a split between policies of these names and options, files of theirs included."""
    known = hashlib.sha256()
    for name, options in policies:
        file, colon, kind = name.rpartition(":")
        code = hashlib.sha256(Path(file).read_bytes()).hexdigest() if colon else ""
        known.update(json.dumps([kind, code, options], sort_keys=True, default=str).encode())
    return known.hexdigest()[:12]
