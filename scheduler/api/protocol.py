"""The shapes of HTTP: OpenAI chat completions with the `thinkbudget` object on top.

Unknown top-level fields are ignored, as OpenAI clients send new ones every month; unknown keys
inside `thinkbudget` are refused.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from scheduler.errors import InvalidRequest

MAX_BODY_BYTES = 4 << 20
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Text = Annotated[str, StringConstraints(max_length=MAX_BODY_BYTES)]


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Text, Field(min_length=1)] | list[TextPart]

    @property
    def plain(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: bool = False


class BudgetOptions(BaseModel):
    """`thinkbudget`: limits of this query, what it is learned as, and options of its policy.

    Everything that is not named here is an option of the policy (`samples`, `extensions`, ...).
    """

    model_config = ConfigDict(extra="allow")

    policy: str | None = None
    max_total_tokens: Count | None = None
    deadline_seconds: Annotated[float, Field(strict=True, gt=0, le=86_400)] | None = None
    target_accuracy: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    value: Annotated[float, Field(strict=True, gt=0, lt=math.inf)] = 1.0
    query_class: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    reference_answer: Annotated[str, StringConstraints(max_length=1000)] | None = None
    learn: bool = True

    @property
    def policy_options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class ChatRequest(BaseModel):
    model: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, Field(strict=True)] | None = 1
    stop: str | list[str] | None = None
    metadata: dict[str, Any] | None = None
    user: Annotated[str, StringConstraints(max_length=512)] | None = None
    thinkbudget: BudgetOptions = Field(default_factory=BudgetOptions)

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def tenant(self) -> str:
        """Whose tokens these are, for the shares of the price: OpenAI's `user`."""
        return self.user or ""

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


def parse(body: object) -> ChatRequest:
    """A checked request; the first thing wrong becomes an InvalidRequest that names its field."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", field=None, code="invalid_json")
    if isinstance(body.get("temperature"), bool):
        raise InvalidRequest("temperature must be a number, got a boolean", field="temperature")
    try:
        request = ChatRequest.model_validate(body)
    except ValidationError as error:
        raise _invalid(error) from None
    if request.n not in (None, 1):
        raise InvalidRequest(
            f"n must be 1, got {request.n}: votes are sampled by thinkbudget.policy, not by n",
            field="n",
            code="unsupported_parameter",
        )
    return request


def _invalid(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False)[0]
    # Pydantic names the member of a union that it tried; that is no part of the body.
    place = [str(p) for p in first["loc"] if not re.match(r"list\[|constrained-|str$", str(p))]
    field = ".".join(place)
    value = repr(first["input"])
    shown = value if len(value) <= 80 else value[:77] + "..."
    return InvalidRequest(f"{field}: {first['msg'].lower()}, got {shown}", field=field)
