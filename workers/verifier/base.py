"""What a verifier is."""

from collections.abc import Sequence
from typing import Protocol


class VerifierFailed(Exception):
    """It gave no rewards: it cannot be reached, or refuses."""


class Verifier(Protocol):
    """A process reward model: it judges thinking step by step, finished or not."""

    async def score(self, question: str, thinkings: Sequence[str]) -> list[list[float]]:
        """The reward of every step of every thinking: shape (thinkings, steps of that thinking).

        A reward is the probability that what the chain holds after the step is right, from 0 to 1.
        Steps are those of `steps.step_ends`. The last one ends with the text, so the last reward is
        that of the whole: of a finished chain for a weighted vote, of a prefix for a tree search.
        A thinking without text has no rewards. A verifier that only judges the whole gives one
        reward a thinking. Raises VerifierFailed.
        """
