"""What comes back from an engine: pieces of text while it runs, then one `Sample` a chain."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.signals import Confidence
from workers.forcing.chain import StopCause
from workers.forcing.checkpoint import Checkpoint


class Accepted(NamedTuple):
    """The engine has taken the request; the prompt is this many tokens long."""

    prompt_tokens: int


class Delta(NamedTuple):
    """New text of one chain, and how many tokens it is."""

    chain: int
    phase: Literal["thinking", "answer"]
    text: str
    tokens: int


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

    The first token of a prompt has no probability: None.
    """

    text: str
    bytes: bytes
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished chain. Counts are in tokens."""

    #: Number of the chain within its query.
    chain: int
    #: Text of the thinking, forced text included.
    thinking: str
    #: Text of the answer, with what a cut put at its head.
    text: str
    #: The answer that votes, taken from `text`. None: the chain gave none.
    answer: str | None
    stop_cause: StopCause
    #: All tokens of the thinking so far, forced ones and those of earlier calls included.
    thinking_tokens: int = 0
    answer_tokens: int = 0
    #: Natural ends that were replaced by a forced "Wait", over all calls of the chain.
    extensions: int = 0
    #: Sampled by the model in this call, dropped stops included.
    generated_tokens: int = 0
    #: Appended by us in this call: extension texts and delimiters.
    forced_tokens: int = 0
    #: Sampled in this call and dropped: stops, and what came after a stop text.
    discarded_tokens: int = 0
    #: Whether the answer came to its end of turn.
    complete: bool = True
    #: The caller's stop text that ended the answer. Empty: none did.
    stop_text: str = ""
    #: Token ids of the thinking, by which the chain can be extended. Empty where there are none.
    thinking_ids: tuple[int, ...] = ()
    #: Duration of this call.
    seconds: float = 0.0
    #: Name of the engine that finished the chain. Empty: none did.
    replica: str = ""
    #: Parts of the budget's contract that the chain broke. Empty unless there is a bug.
    violations: tuple[str, ...] = ()
    #: None where it was not asked for.
    confidence: Confidence | None = None
    #: Cost of the trial answers in this call.
    probe_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    #: Of the answer's own tokens. Empty where they were not asked for.
    logprobs: tuple[ScoredToken, ...] = ()
    #: How often another engine had to continue the chain in this call.
    migrations: int = 0

    @property
    def tokens(self) -> int:
        """What the call cost: sampled and forced tokens, and its probes."""
        return self.generated_tokens + self.forced_tokens + self.probe_tokens


def lost(chain: int, cause: StopCause = "lost") -> Sample:
    """A chain that never came back: its worker died, or it was cancelled."""
    return Sample(chain, "", "", None, cause, complete=False)
