"""What comes back from an engine: pieces of text while it runs, then one `Sample` a chain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.signals import Confidence
from workers.checkpoint import Checkpoint
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


# Is told of every event that a caller may see while it happens.
OnEvent = Callable[[Accepted | Delta], None]


class ChainProgress(NamedTuple):
    """How far a chain has come since the last one of these; of a streamed chain, as far as its
    deltas have.
    """

    chain: int
    news: Checkpoint


class ToolCall(NamedTuple):
    """`arguments` are JSON, as the model wrote them."""

    name: str
    arguments: str


class ScoredToken(NamedTuple):
    """A token of an answer: its text (of its own, so perhaps of a part of a character), its bytes,
    its log-probability, and the likeliest tokens in its place, by text, the likeliest first.

    Nothing tells of the first token of a prompt how likely it was: None.
    """

    text: str
    bytes: bytes
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished chain.

    `thinking_tokens` are all tokens of the thinking section, forced ones included. Counted apart
    and only for this call: `generated_tokens` (sampled by the model, dropped stops included) and
    `forced_tokens` (extension texts and delimiters that we appended). `violations` names every
    part of the budget's contract that the chain broke; it should always be empty. `logprobs` are
    those of the answer's own tokens, where they were asked for; `migrations` is how often the
    chain had to be taken on by another engine.
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
    confidence: Confidence | None = None
    probe_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[ScoredToken, ...] = ()
    migrations: int = 0

    @property
    def tokens(self) -> int:
        """What the call cost: sampled and forced tokens, and its probes."""
        return self.generated_tokens + self.forced_tokens + self.probe_tokens


def lost(chain: int, cause: StopCause = "lost") -> Sample:
    """A chain that never came back: its worker died, or it was cancelled."""
    return Sample(chain, "", "", None, cause, complete=False)
