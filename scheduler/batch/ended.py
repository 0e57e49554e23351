"""Why a job ends before its last row, as a message and an exit code."""

from typing import Final

FAILED_ROWS: Final = 3
RESUME_REFUSED: Final = 4
UNREACHABLE: Final = 5
EXHAUSTED: Final = 6
"""A budget, a quota or a disk: the same command goes on once there is more of it."""
INTERRUPTED: Final = 130
TERMINATED: Final = 143


class JobEnded(Exception):
    """No row can be answered any more, and none is recorded as failed for it."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
