"""How a caller wants chains to be sampled. Policies pass it on; they only set the temperature."""

from dataclasses import dataclass
from typing import NamedTuple

from policies.answer_spec import AnswerSpec


class Adapter(NamedTuple):
    """A LoRA adapter of the served model: its name, and the folder of its weights."""

    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """One value for all that is handed on unchanged from the request to the engine.

    `tools`, `tool_choice` and `response_format` are OpenAI's, as JSON texts.
    """

    #: None: the policy's temperature, or else the model's recommended one. 0 is greedy.
    temperature: float | None = None
    #: Nucleus sampling, in (0, 1]. None: the model's recommended value.
    top_p: float | None = None
    #: Every chain derives its own seed from it. None: unseeded.
    seed: int | None = None
    #: Log-probabilities of the answer's tokens and of so many likeliest ones. None: none.
    logprobs: int | None = None
    tools: str | None = None
    tool_choice: str | None = None
    response_format: str | None = None
    #: Texts that end the answer, and are not part of it.
    answer_stops: tuple[str, ...] = ()
    #: Whether an answer may make several calls.
    parallel_tool_calls: bool = True
    #: Of waiting requests the one with the lowest value runs first.
    priority: int = 0
    #: Only requests with the same salt share cached prefixes (vLLM's `cache_salt`).
    cache_salt: str = ""
    #: What an answer is: how it is found in a reply, and when two are the same.
    answer: AnswerSpec = AnswerSpec()
    #: What the model runs with. None: as it is.
    adapter: Adapter | None = None
