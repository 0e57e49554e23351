"""The shape of a text completion: OpenAI's older endpoint, which harnesses still use."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from scheduler.api.messages import Text
from scheduler.api.protocol import MAX_CHOICES, Flag, StopText, StreamOptions, UserLabel, checked
from scheduler.errors import InvalidRequest

MOST_PROMPTS = 128
TokenIds = Annotated[
    list[Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]], Field(min_length=1)
]
Several = Field(min_length=1, max_length=MOST_PROMPTS)


class CompletionBody(BaseModel):
    """`prompt` is one or several, each a text or token ids."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    prompt: Text | TokenIds | Annotated[list[Text] | list[TokenIds], Several]
    max_tokens: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_CHOICES)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)] | None = None
    logprobs: Annotated[int, Field(strict=True, ge=0, le=5)] | None = None
    echo: Flag | None = None
    ignore_eos: Flag | None = None
    user: UserLabel | None = None

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        prompt: Any = self.prompt
        single = isinstance(prompt, str) or isinstance(prompt[0], int)
        return [
            each if isinstance(each, str) else tuple(each)
            for each in ([prompt] if single else prompt)
        ]

    @property
    def stops(self) -> tuple[str, ...]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in stops if stop)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def parse(body: object) -> CompletionBody:
    """A checked request; raises InvalidRequest."""
    if isinstance(body, dict):
        idle = {"suffix": "", "best_of": body.get("n") or 1, "prompt_embeds": None}
        for field, value in idle.items():
            if body.get(field) not in (None, value):
                why = f"{field}: is not supported here"
                raise InvalidRequest(why, field=field, code="unsupported_parameter")
    request = checked(CompletionBody, body)
    if len(request.prompts) * (request.n or 1) > MOST_PROMPTS:
        message = f"prompt: {len(request.prompts)} prompts with n of {request.n} are too many"
        raise InvalidRequest(f"{message}, {MOST_PROMPTS} at most", field="prompt")
    return request
