"""What a job as a whole is to meet."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goals:
    """None is no goal. `is_partial` lets a budget that cannot hold all rows answer what it can."""

    tokens: int | None = None
    accuracy: float | None = None
    seconds: float | None = None
    is_partial: bool = False

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"budget-tokens must be positive, got {self.tokens}")
        if self.accuracy is not None and not 0 < self.accuracy < 1:
            raise ValueError(f"target-accuracy must be between 0 and 1, got {self.accuracy}")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ValueError(f"max-seconds must be positive, got {self.seconds}")

    def __bool__(self) -> bool:
        return (self.tokens, self.accuracy, self.seconds) != (None, None, None)
