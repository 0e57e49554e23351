"""The shapes of a conversation: its turns, and the tools that a turn may call."""

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

MAX_LETTERS = 4 << 20
MAX_SCHEMA_BYTES = 64 << 10
Text = Annotated[str, StringConstraints(max_length=MAX_LETTERS)]
FUNCTION_PATTERN = r"^[a-zA-Z0-9_.-]{1,64}$"
PARTICIPANT_PATTERN = r"^[a-zA-Z0-9_-]{1,64}$"
FunctionName = Annotated[str, StringConstraints(pattern=FUNCTION_PATTERN)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def as_json(value: object) -> str:
    """Keys keep the order they were sent in: models are shown them, and fill them in, in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


TEXT_PARTS = ("text", "input_text", "output_text")
THOUGHT_PARTS = ("thinking", "redacted_thinking", "reasoning")
"""Earlier thoughts that clients send back in an assistant's content; models think anew."""


class ContentPart(BaseModel):
    """A part of a message: text, or of the assistant what it refused, or has thought."""

    type: Literal[
        "text",
        "input_text",
        "output_text",
        "refusal",
        "thinking",
        "redacted_thinking",
        "reasoning",
    ]
    text: Text | None = None
    refusal: Text | None = None

    @property
    def plain(self) -> str:
        if self.type == "refusal":
            return self.refusal or ""
        return self.text or "" if self.type in TEXT_PARTS else ""

    def fault_for(self, role: str) -> tuple[str, str] | None:
        """The field at fault and why, in a message of this role."""
        if self.type not in TEXT_PARTS:
            if role != "assistant":
                return "type", f"only the assistant has parts of type {self.type!r}, got {role!r}"
            is_missing = self.type == "refusal" and self.refusal is None
            return ("refusal", "field required") if is_missing else None
        return ("text", "field required") if self.text is None else None


class CalledFunction(BaseModel):
    name: FunctionName
    arguments: Text

    @field_validator("arguments", mode="before")
    @classmethod
    def _written(cls, given: object) -> object:
        """Some clients send the arguments themselves, or nothing for none."""
        if given is None or isinstance(given, dict):
            return json.dumps(given or {}, ensure_ascii=False)
        return given


class ToolCallItem(BaseModel):
    """A call that an earlier reply has made."""

    id: Id
    type: Literal["function"] = "function"
    function: CalledFunction


class RequestMessage(BaseModel):
    """One message; `fault` checks what no single field can."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[ContentPart] | None = None
    name: Text | None = None
    refusal: Text | None = None
    tool_calls: Annotated[list[ToolCallItem], Field(max_length=128)] | None = None
    tool_call_id: Id | None = None
    reasoning: Text | None = None
    reasoning_content: Text | None = None

    @property
    def plain(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.plain for part in self.content)
        return self.content or self.refusal or ""

    @property
    def fault(self) -> tuple[str, str] | None:
        """The field at fault and why. Replies and instructions may say nothing, questions not."""
        if self.tool_calls is not None and self.role != "assistant":
            return "tool_calls", f"only the assistant calls tools, got role {self.role!r}"
        if self.role == "tool" and self.tool_call_id is None:
            return "tool_call_id", "a turn of a tool must say which call it answers"
        pattern = FUNCTION_PATTERN if self.role == "tool" else PARTICIPANT_PATTERN
        if self.name and not re.fullmatch(pattern, self.name):
            return "name", f"must match the pattern {pattern}, got {self.name[:80]!r}"
        if isinstance(self.content, list):
            faults = [(at, part.fault_for(self.role)) for at, part in enumerate(self.content)]
            return next(((f"content.{at}.{bad[0]}", bad[1]) for at, bad in faults if bad), None)
        if self.role == "user" and not self.content:
            return "content", "field required" if self.content is None else "must not be empty"
        return None

    @property
    def extra(self) -> str:
        """JSON of what else the model's template may read of the turn; empty: nothing."""
        calls = [call.model_dump() for call in self.tool_calls or []]
        fields = {
            "name": self.name,
            "tool_calls": calls,
            "tool_call_id": self.tool_call_id,
            "reasoning": self.reasoning or self.reasoning_content,
        }
        given = {key: value for key, value in fields.items() if value}
        return as_json(given) if given else ""


class Function(BaseModel):
    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    type: Literal["function"]
    function: Function


class NamedFunction(BaseModel):
    name: FunctionName


class NamedTool(BaseModel):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(BaseModel):
    name: FunctionName
    description: Text | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """How the answer is to be written; `json_schema` is there if the type says so."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema must be given if, and only if, the type is json_schema")
        if self.json_schema and len(as_json(self.json_schema.schema_)) > MAX_SCHEMA_BYTES:
            raise ValueError(f"the schema is larger than {MAX_SCHEMA_BYTES} bytes")
        return self

    @property
    def given(self) -> str | None:
        """JSON for the engine; None where any text will do."""
        if self.type == "text":
            return None
        return as_json(self.model_dump(by_alias=True, exclude_none=True))
