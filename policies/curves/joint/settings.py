"""How one chain may be spent: how far it thinks at most, and what ends it earlier.

Stages are in the order in which a chain meets them: caps on its thinking, its own end, and its ends
after one extension, two, and so on. So a chain that went to one stage shows every earlier one.
"""

from typing import NamedTuple

CAPS = tuple(round(2 ** (half / 2)) for half in range(10, 33))
"""Thinking tokens at which a chain may be cut, and is tried: 32, 45, 64, ... 65536."""
WHOLE = len(CAPS)
"""The stage of a chain's own end; those above it are of as many extensions."""
MAX_EXTENSIONS = 6
STAGES = WHOLE + 1 + MAX_EXTENSIONS


class Exit(NamedTuple):
    """What ends a chain before its stage: so many equal answers in a row, each so sure.

    With `agree` of 0 nothing does. Equal trial answers are Dynasor's rule (arXiv 2412.20993), sure
    ones DEER's (arXiv 2504.15895).
    """

    agree: int = 0
    sure: float = 0.0

    def holds(self, run: int, probability: float) -> bool:
        """After an answer that came `run` times in a row, the last time with this probability."""
        return 0 < self.agree <= run and probability >= self.sure

    def shows(self, other: "Exit") -> bool:
        """Whether chains under this rule show what another had done: it must end none later."""
        if not self.agree:
            return True
        return 0 < other.agree <= self.agree and other.sure <= self.sure


EXITS = (Exit(), Exit(2), Exit(3), Exit(1, 0.9), Exit(1, 0.99))
NO_EXIT, LEARNED = 0, len(EXITS)
"""Rows of no exit, and of the rule that a class has learned (policies/curves/exit_curve.py)."""


class ChainSetting(NamedTuple):
    """A stage (0 to STAGES - 1), and a row of `EXITS` or `LEARNED`."""

    stage: int
    exit: int = NO_EXIT

    @property
    def cap(self) -> int | None:
        """In thinking tokens; None: no cap."""
        return CAPS[self.stage] if self.stage < WHOLE else None

    @property
    def extensions(self) -> int:
        return max(0, self.stage - WHOLE)

    @property
    def rule(self) -> Exit | None:
        """None: a learned one."""
        return EXITS[self.exit] if self.exit < LEARNED else None

    def __str__(self) -> str:
        """As people read it: "cut at 512", "2 extensions, until 2 equal answers"."""
        if self.stage < WHOLE:
            far = f"cut at {self.cap}"
        else:
            far = f"{self.extensions} extensions" if self.extensions else "to its own end"
        if self.rule is None:
            return f"{far}, until more thinking does not pay"
        if self.rule.sure:
            return f"{far}, until an answer is {self.rule.sure:g} sure"
        return f"{far}, until {self.rule.agree} equal answers" if self.rule.agree else far


BY_LEARNED_EXIT = ChainSetting(WHOLE, LEARNED)
SETTINGS = tuple(ChainSetting(stage, row) for stage in range(STAGES) for row in range(len(EXITS)))
