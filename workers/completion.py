"""Plain generation, past all forcing: a prompt as it is, and what the model says next."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.sampling import SamplingParams
from workers.sample import Accepted, ScoredToken


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One prompt to continue."""

    #: Id of the request.
    query: str
    #: Text or token ids. Control strings in it are control tokens: it is trusted.
    prompt: str | tuple[int, ...]
    #: Most tokens to generate. 0: the prompt is only scored.
    max_tokens: int = 16
    sampling: SamplingParams = SamplingParams()
    #: Texts that end the completion. They are not part of its text.
    stop: tuple[str, ...] = ()
    #: Whether the prompt is part of the text.
    echo: bool = False
    #: Whether the model runs on past its end of turn.
    ignore_eos: bool = False
    #: Whether the text is wanted as it comes; else it may come at the end.
    live: bool = False


class CompletionText(NamedTuple):
    """A piece of the text, and the tokens in it where log-probabilities were asked for."""

    text: str
    scores: tuple[ScoredToken, ...] = ()


class Completed(NamedTuple):
    """The end; `tokens` is how many were generated."""

    finish: Literal["stop", "length", "lost"]
    tokens: int


CompletionEvent = Accepted | CompletionText | Completed
