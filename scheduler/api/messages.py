"""The shapes of a conversation: its turns, and the tools that a turn may call."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

MAX_LETTERS = 4 << 20
MAX_SCHEMA_BYTES = 64 << 10
Text = Annotated[str, StringConstraints(max_length=MAX_LETTERS)]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def as_json(value: object) -> str:
    """Keys keep the order they were sent in: models are shown them, and fill them in, in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class CalledFunction(BaseModel):
    name: FunctionName
    arguments: Text


class ToolCallItem(BaseModel):
    """A call that an earlier reply has made."""

    id: Id
    type: Literal["function"] = "function"
    function: CalledFunction


class RequestMessage(BaseModel):
    """One message; `fault` tells what no single field of it can."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    name: FunctionName | None = None
    tool_calls: Annotated[list[ToolCallItem], Field(max_length=128)] | None = None
    tool_call_id: Id | None = None
    reasoning: Text | None = None
    reasoning_content: Text | None = None

    @property
    def plain(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)

    @property
    def fault(self) -> tuple[str, str] | None:
        """The field at fault and why; replies may have said nothing, questions may not."""
        if self.tool_calls is not None and self.role != "assistant":
            return "tool_calls", f"only the assistant calls tools, got role {self.role!r}"
        if self.role == "tool" and self.tool_call_id is None:
            return "tool_call_id", "a turn of a tool must say which call it answers"
        if self.content is None and not self.tool_calls:
            return "content", "field required"
        if self.content == "" and self.role not in ("assistant", "tool"):
            return "content", "must not be empty, got ''"
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
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
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
