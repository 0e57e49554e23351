"""A verifier without a model, that is as good as one wants: for tests and simulations."""

import hashlib
import math
from collections.abc import Callable, Sequence
from random import Random
from statistics import NormalDist

from workers.verifier.steps import step_ends


class SimulatedVerifier:
    """A `Verifier` with a given area under the ROC curve, calibrated where half is right.

    `is_right` tells of a question and a thinking, up to the end of a step, whether it is right. The
    same step of the same thinking always gets the same reward.
    """

    def __init__(
        self, is_right: Callable[[str, str], bool], *, auc: float = 0.8, seed: int = 0
    ) -> None:
        if not 0.5 <= auc < 1:
            raise ValueError(f"auc must be at least 0.5 and below 1, got {auc}")
        self._is_right, self._seed = is_right, seed
        # Of z ~ N(+-m, 1) the area is P(z+ > z-) = Phi(sqrt(2) m), and the log-odds are 2 m z.
        self._mean = NormalDist().inv_cdf(auc) / math.sqrt(2)

    async def score(self, question: str, thinkings: Sequence[str]) -> list[list[float]]:
        """The rewards of every step of every thinking, as `Verifier` says."""
        return [
            [self._reward(question, thinking[:end].strip()) for end in step_ends(thinking)]
            for thinking in thinkings
        ]

    def _reward(self, question: str, prefix: str) -> float:
        digest = hashlib.blake2b(f"{self._seed}\0{question}\0{prefix}".encode()).digest()
        sign = 1 if self._is_right(question, prefix) else -1
        z = Random(digest).gauss(sign * self._mean, 1)
        return 1 / (1 + math.exp(-2 * self._mean * z))
