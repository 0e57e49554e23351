"""Plain generation, past all forcing: a prompt as it is, and what the model says next."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.sampling import SamplingParams
from workers.sample import Accepted, ScoredToken


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """In `prompt`, text or token ids, control strings are control tokens: it is trusted.

    With `echo` the prompt is part of the text. `live` wants the text as it comes,
    else it may come at the end.
    """

    query: str
    prompt: str | tuple[int, ...]
    max_tokens: int = 16
    sampling: SamplingParams = SamplingParams()
    stop: tuple[str, ...] = ()
    echo: bool = False
    ignore_eos: bool = False
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
