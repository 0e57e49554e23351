"""Votes in windows until one window is unanimous."""

from dataclasses import dataclass

from policies.base import Situation
from policies.plan import check_int
from policies.voting import Voting


@dataclass(frozen=True, slots=True)
class EarlyStopping(Voting):
    """ESC: stop after a window of equal answers (Li et al., arXiv 2401.10480).

    The paper's window is 5 samples (8 for MATH), with at most 40. A chain without an answer breaks
    its window.
    """

    window: int = 5

    def __post_init__(self) -> None:
        Voting.__post_init__(self)
        check_int("window", self.window, at_least=1, at_most=1024)

    @property
    def name(self) -> str:
        return "early_stopping"

    def settled(self, situation: Situation) -> bool:
        votes = situation.tally.votes
        if len(votes) % self.window:
            return False
        last = {vote.answer for vote in votes[-self.window :]}
        return len(last) == 1 and None not in last

    def next_round(self, situation: Situation) -> int:
        """The rest of the window: nothing can be settled before it is full."""
        return self.window - len(situation.tally.votes) % self.window
