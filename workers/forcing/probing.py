"""Where a running chain is probed for a trial answer. Pure; workers/drivers/trial.py branches."""

from collections.abc import Sequence

from policies.signals import Probing
from workers.format import TokenFormat

PARAGRAPH = "\n\n"


class ProbePoints:
    """Watches one chain grow and names the token counts at which to branch off, each once.

    `begun` and `made` are how many tokens and points a chain has had that goes on.
    """

    def __init__(
        self, probing: Probing, format_: TokenFormat, *, begun: int = 0, made: int = 0
    ) -> None:
        self._probing, self._format = probing, format_
        self._seen = begun
        self._extensions = 0
        self.made = made

    def due(self, thinking: Sequence[int], ends: Sequence[int]) -> list[int]:
        """Points among the thinking tokens that are new; `ends` are the lengths at all the natural
        ends so far that were ignored.
        """
        probing, new = self._probing, range(self._seen + 1, len(thinking) + 1)
        points = {at for at in probing.at if at in new}
        if probing.every:
            points |= {at for at in new if at % probing.every == 0}
        if probing.paragraphs:
            points |= {at for at in new if self._ends_paragraph(thinking, at)}
        if probing.extensions:
            points |= set(ends[self._extensions :])
        self._seen, self._extensions = len(thinking), len(ends)
        due = sorted(points)[: max(0, probing.most - self.made)]
        self.made += len(due)
        return due

    def _ends_paragraph(self, thinking: Sequence[int], at: int) -> bool:
        """Whether this token completes a paragraph break, alone or with the one before."""
        last = self._format.decode(thinking[at - 1 : at])
        if PARAGRAPH in last:
            return True
        before = self._format.decode(thinking[max(0, at - 2) : at])
        return last.startswith("\n") and PARAGRAPH in before
