"""What an answer is to be: a number, a choice, text; and which pattern finds it."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["auto", "number", "math", "choice", "text", "json", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_CHOICES = 26
MAX_PATTERN = 500


@dataclass(frozen=True, slots=True)
class AnswerSpec:
    """How answers of a query are found and compared. Raises ValueError on fields that cannot be.

    With `kind` "auto" the form of each answer decides. "none": nothing is found or compared.
    `choices` are the texts of A, B, C..., or the letters themselves; they make "auto" a choice.
    The last match of `pattern`, its first group if it has one, is the answer; it is run in a
    limited process only, for it may take any time.
    """

    kind: Kind = "auto"
    choices: tuple[str, ...] = ()
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if len(self.choices) > MAX_CHOICES:
            raise ValueError(f"choices: at most {MAX_CHOICES}, got {len(self.choices)}")
        for at, choice in enumerate(self.choices):
            if not isinstance(choice, str) or not choice.strip():
                raise ValueError(f"choices[{at}] must be text, got {choice!r}")
        if self.choices and self.kind not in ("auto", "choice"):
            raise ValueError(f"choices go with kind choice or auto, not with {self.kind!r}")
        if self.pattern is not None:
            if len(self.pattern) > MAX_PATTERN:
                raise ValueError(f"pattern is longer than {MAX_PATTERN} characters")
            try:
                re.compile(self.pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"pattern {self.pattern[:40]!r}: {error}") from None

    @property
    def is_choice(self) -> bool:
        return self.kind == "choice" or bool(self.choices)

    def letter(self, at: int) -> str:
        """The letter of a choice by its place: the choice itself where the choices are letters."""
        if all(len(choice.strip()) == 1 for choice in self.choices):
            return self.choices[at].strip().lower()
        return chr(ord("a") + at)
