"""What comes back from an engine: pieces of text while it runs, then one `Sample` a chain."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from workers.forcing import StopCause


class Accepted(NamedTuple):
    """The engine has taken the request; the prompt is this many tokens long."""

    prompt_tokens: int


class Delta(NamedTuple):
    """New text of one chain, and how many tokens it is."""

    chain: int
    phase: Literal["thinking", "answer"]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished chain.

    `thinking_tokens` are all tokens of the thinking section, forced ones included. Counted apart
    and only for this call: `generated_tokens` (sampled by the model, dropped stops included) and
    `forced_tokens` (extension texts and delimiters that we appended). `violations` names every
    part of the budget's contract that the chain broke; it should always be empty.
    """

    chain: int
    thinking: str
    text: str
    answer: str | None
    stop_cause: StopCause
    thinking_tokens: int = 0
    answer_tokens: int = 0
    extensions: int = 0
    generated_tokens: int = 0
    forced_tokens: int = 0
    discarded_tokens: int = 0
    complete: bool = True
    thinking_ids: tuple[int, ...] = ()
    seconds: float = 0.0
    replica: str = ""
    violations: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """What the call cost: sampled and forced tokens together."""
        return self.generated_tokens + self.forced_tokens


def lost(chain: int, cause: StopCause = "lost") -> Sample:
    """A chain that never came back: its worker died, or it was cancelled."""
    return Sample(chain, "", "", None, cause, complete=False)
