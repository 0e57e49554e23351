"""The shapes of HTTP: OpenAI chat completions with the `thinkbudget` object on top.

Unknown top-level fields are accepted, as OpenAI clients send new ones every month; the reply names
those that would change an answer (ignored_fields.py). Unknown keys in `thinkbudget` are refused.
"""

import math
import re
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from policies.answer_spec import AnswerSpec, Kind
from scheduler.api.messages import (
    MAX_LETTERS,
    TEXT_PARTS,
    THOUGHT_PARTS,
    NamedTool,
    RequestMessage,
    ResponseFormat,
    Tool,
)
from scheduler.errors import InvalidRequest
from scheduler.json_body import check_text

RequestShape = TypeVar("RequestShape", bound=BaseModel)
MAX_BODY_BYTES = MAX_LETTERS
MAX_CHOICES = 16
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
TokenCount = Annotated[int, Field(strict=True, ge=-1, le=2**31 - 1)]
"""A budget of thinking tokens; -1 is all that the engine has."""
EffortLevel = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
StopText = Annotated[str, StringConstraints(max_length=1000)]
UserLabel = Annotated[str, StringConstraints(max_length=512)]
MetadataKey = Annotated[str, StringConstraints(max_length=64)]


def _number(low: float, high: float) -> Any:
    return Field(strict=True, ge=low, le=high, allow_inf_nan=False)


class StreamOptions(BaseModel):
    include_usage: Flag | None = None
    continuous_usage_stats: Flag | None = None

    @property
    def so_far(self) -> bool:
        """Whether every chunk has the tokens so far (vLLM's)."""
        return bool(self.include_usage and self.continuous_usage_stats)


class Reasoning(BaseModel):
    """OpenRouter's and OpenAI's. `exclude` leaves the reasoning out of the reply."""

    model_config = ConfigDict(extra="allow")
    effort: EffortLevel | None = None
    max_tokens: TokenCount | None = None
    exclude: Flag | None = None
    enabled: Flag | None = None
    mode: Literal["standard", "pro"] | None = None


class Thinking(BaseModel):
    """Anthropic's, as LiteLLM passes it on."""

    model_config = ConfigDict(extra="allow")
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: TokenCount | None = None


class TemplateOptions(BaseModel):
    """What servers take through the chat template: `thinking` is DeepSeek's `enable_thinking`."""

    model_config = ConfigDict(extra="allow")
    enable_thinking: Flag | None = None
    thinking: Flag | None = None
    thinking_budget: TokenCount | None = None


class AnswerOptions(BaseModel):
    """What an answer is: how it is found in a reply, and when two are the same."""

    model_config = ConfigDict(extra="forbid")
    kind: Kind = "auto"
    choices: Annotated[list[str], Field(max_length=26)] = Field(default_factory=list)
    pattern: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.spec
        return self

    @property
    def spec(self) -> AnswerSpec:
        return AnswerSpec(self.kind, tuple(self.choices), self.pattern)


class BudgetOptions(BaseModel):
    """`thinkbudget`: limits of this query, what it is learned as, and options of its policy.

    `stream` is whose reasoning a stream shows: the first chain's live, the winner's at the end, or
    nobody's; `progress` adds what its chains and votes do, `explain` why it got its plan, and
    `trace` every chain with its trial answers, as the outcome log has them.
    Everything that is not named here is an option of the policy (`samples`, ...).
    """

    model_config = ConfigDict(extra="allow")

    policy: str | None = None
    max_total_tokens: Count | None = None
    deadline_seconds: Annotated[float, Field(strict=True, ge=0.001, le=86_400)] | None = None
    target_accuracy: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    value: Annotated[float, Field(strict=True, gt=0, lt=math.inf)] = 1.0
    difficulty: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    query_class: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    reference_answer: Annotated[str, StringConstraints(max_length=1000)] | None = None
    learn: Flag = True
    answer: AnswerOptions | None = None
    stream: Literal["lead", "winner", "none"] = "lead"
    progress: Flag = False
    dry_run: Flag = False
    explain: Flag = False
    trace: Flag = False

    @model_validator(mode="before")
    @classmethod
    def _none_is_absent(cls, given: object) -> object:
        """Of the fields named here; of a policy's own options null may be a value."""
        if not isinstance(given, dict):
            return given
        return {k: v for k, v in given.items() if v is not None or k not in cls.model_fields}

    @property
    def policy_options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class ChatRequest(BaseModel):
    model: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    messages: Annotated[list[RequestMessage], Field(min_length=1, max_length=1000)]
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, _number(0, 2)] | None = None
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, _number(-2, 2)] | None = None
    frequency_penalty: Annotated[float, _number(-2, 2)] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_CHOICES)] | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    logprobs: Flag | None = None
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: Flag | None = None
    response_format: ResponseFormat | None = None
    metadata: Annotated[dict[MetadataKey, UserLabel], Field(max_length=16)] | None = None
    user: UserLabel | None = None
    safety_identifier: UserLabel | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    reasoning_effort: EffortLevel | None = None
    reasoning: Reasoning | None = None
    thinking_token_budget: TokenCount | None = None
    thinking: Thinking | None = None
    thinking_budget: TokenCount | None = None
    enable_thinking: Flag | None = None
    chat_template_kwargs: TemplateOptions | None = None
    include_reasoning: Flag | None = None
    separate_reasoning: Flag | None = None
    thinkbudget: BudgetOptions = Field(default_factory=BudgetOptions)

    @field_validator("thinkbudget", mode="before")
    @classmethod
    def _none_is_absent(cls, given: object) -> object:
        return {} if given is None else given

    @property
    def stops(self) -> list[str]:
        """An empty text stops nothing."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def tenant(self) -> str:
        """Whose tokens these are, for the shares of the price: OpenAI's `user`, by either name."""
        return self.user or self.safety_identifier or ""

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def wants_usage_so_far(self) -> bool:
        return self.stream_options is not None and self.stream_options.so_far

    @property
    def shows_reasoning(self) -> bool:
        hidden = self.reasoning is not None and self.reasoning.exclude
        return not hidden and self.include_reasoning is not False

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def most_logprobs(self) -> int | None:
        """How many of the likeliest tokens to return at each of the answer's; None: no logprobs."""
        return (self.top_logprobs or 0) if self.logprobs else None


def checked(shape: type[RequestShape], body: object) -> RequestShape:
    """A body in its shape; the first thing wrong becomes an InvalidRequest that names its field."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", field=None, code="invalid_json")
    check_text(body)
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise _invalid(error) from None


def parse(body: object) -> ChatRequest:
    """A checked chat request; raises InvalidRequest."""
    if isinstance(body, dict):
        _refuse_unsupported(body)
    request = checked(ChatRequest, body)
    for at, turn in enumerate(request.messages):
        if fault := turn.fault:
            _refuse(f"messages.{at}.{fault[0]}", fault[1])
    if request.top_logprobs and not request.logprobs:
        _refuse("top_logprobs", f"needs logprobs to be true, got {request.top_logprobs}")
    _check_tool_choice(request)
    return request


def _check_tool_choice(request: ChatRequest) -> None:
    choice = request.tool_choice
    names = [tool.function.name for tool in request.tools or []]
    if choice == "required" and not names:
        _refuse("tool_choice", "'required' needs tools, and there are none")
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        _refuse("tool_choice", f"there is no tool {choice.function.name!r}")
    if len(set(names)) < len(names):
        _refuse("tools", "two of them have the same name")


KNOWN_PARTS = (*TEXT_PARTS, *THOUGHT_PARTS, "refusal")
UNSUPPORTED = ("chat_template", "documents", "vllm_xargs", "audio")


def _refuse_unsupported(body: dict[str, Any]) -> None:
    """Templates and extra arguments are code for the engine, and only text is understood here."""
    found = [name for name in UNSUPPORTED if body.get(name) is not None]
    template = body.get("chat_template_kwargs")
    if isinstance(template, dict) and "chat_template" in template:
        found.append("chat_template_kwargs.chat_template")
    if isinstance(kinds := body.get("modalities"), list) and kinds != ["text"]:
        found.append("modalities")
    turns = body.get("messages")
    for at, turn in enumerate(turns if isinstance(turns, list) else []):
        parts = turn.get("content") if isinstance(turn, dict) else None
        for number, part in enumerate(parts if isinstance(parts, list) else []):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind not in KNOWN_PARTS:
                found.append(f"messages.{at}.content.{number}.type")
    if found:
        _refuse(found[0], "is not supported here", code="unsupported_parameter")


def _refuse(field: str, why: str, *, code: str = "invalid_value") -> NoReturn:
    raise InvalidRequest(f"{field}: {why}", field=field, code=code)


def _invalid(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False)[0]
    # Pydantic names the member of a union that it tried; that is no part of the body.
    place = [str(p) for p in first["loc"] if not _UNION_MEMBER.match(str(p))]
    field = ".".join(place)[:200]
    value = repr(first["input"])
    shown = value if len(value) <= 80 else value[:77] + "..."
    # Only its first letter: a pattern in it means what it says.
    why = first["msg"][:1].lower() + first["msg"][1:]
    return InvalidRequest(f"{field}: {why}, got {shown}", field=field)


_UNION_MEMBER = re.compile(r"list\[|constrained-|str$|literal\[|NamedTool$|\[key\]$")
