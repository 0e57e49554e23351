"""The shape of POST /v1/responses, and the chat request that it comes to.

Text in, text and function calls out. Nothing is stored: what would need a memory is refused.
"""

from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from scheduler.api.messages import TEXT_PARTS, ContentPart, FunctionName, Id, Text
from scheduler.api.protocol import KNOWN_PARTS, Count, Flag, MetadataKey, UserLabel, checked
from scheduler.errors import InvalidRequest

REFUSED = ("previous_response_id", "conversation", "prompt", "background")
"""What would need a memory of earlier replies. `store` is answered, with `store: false`."""

PASSED = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "parallel_tool_calls",
    "reasoning",
    "thinkbudget",
)
"""The same in a chat request."""


class MessageItem(BaseModel):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[ContentPart] | None = None

    def turn(self) -> dict[str, Any]:
        if not isinstance(self.content, list):
            return {"role": self.role, "content": self.content}
        return {"role": self.role, "content": [part.model_dump() for part in self.content]}


class CallItem(BaseModel):
    type: Literal["function_call"]
    call_id: Id
    name: FunctionName
    arguments: Text

    def turn(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        call = {"id": self.call_id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}


class CallOutputItem(BaseModel):
    type: Literal["function_call_output"]
    call_id: Id
    output: Text | list[ContentPart] | None = None

    def turn(self) -> dict[str, Any]:
        said = self.output
        if isinstance(said, list):
            said = "".join(part.plain for part in said)
        return {"role": "tool", "tool_call_id": self.call_id, "content": said or ""}


class ReasoningItem(BaseModel):
    """Of an earlier reply, sent back as clients do; models think anew."""

    model_config = ConfigDict(extra="allow")
    type: Literal["reasoning"]

    def turn(self) -> None:
        return None


class ReferenceItem(BaseModel):
    """Of an item of an earlier reply: none is kept, and no reasoning is needed."""

    type: Literal["item_reference"] | None = None
    id: Annotated[str, StringConstraints(pattern=r"^rs_", max_length=256)]

    def turn(self) -> None:
        return None


class FunctionTool(BaseModel):
    type: Literal["function"]
    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: Flag | None = None


class FunctionChoice(BaseModel):
    type: Literal["function"]
    name: FunctionName


class Format(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: Literal["text", "json_object", "json_schema"]


class TextOptions(BaseModel):
    format: Format | None = None


Item = MessageItem | CallItem | CallOutputItem | ReasoningItem | ReferenceItem
SHAPES: dict[object, type[Item]] = {
    "message": MessageItem,
    "function_call": CallItem,
    "function_call_output": CallOutputItem,
    "reasoning": ReasoningItem,
    "item_reference": ReferenceItem,
}


class ResponsesRequest(BaseModel):
    """What chat requests have in common with it is checked there."""

    model_config = ConfigDict(extra="allow")
    input: Annotated[Text, Field(min_length=1)] | Annotated[list[Any], Field(min_length=1)]
    instructions: Text | None = None
    max_output_tokens: Count | None = None
    metadata: Annotated[dict[MetadataKey, UserLabel], Field(max_length=16)] | None = None
    text: TextOptions | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = None


def parse(body: object) -> ResponsesRequest:
    """A checked request; raises InvalidRequest."""
    if isinstance(body, dict):
        _refuse_unsupported(body)
    request = checked(ResponsesRequest, body)
    if isinstance(request.input, list):
        request.input = [_item(f"input.{at}", item) for at, item in enumerate(request.input)]
    return request


def as_chat(request: ResponsesRequest) -> dict[str, Any]:
    """The body of the chat request that asks for the same."""
    given = request.model_extra or {}
    chat = {name: given[name] for name in PASSED if given.get(name) is not None}
    turns = [{"role": "system", "content": request.instructions}] if request.instructions else []
    if isinstance(request.input, str):
        turns.append({"role": "user", "content": request.input})
    else:
        turns += [turn for item in request.input if (turn := item.turn()) is not None]
    chat["messages"] = turns
    if request.metadata is not None:
        chat["metadata"] = request.metadata
    if request.max_output_tokens is not None:
        chat["max_completion_tokens"] = request.max_output_tokens
    if request.tools:
        functions = [tool.model_dump(exclude={"type"}) for tool in request.tools]
        chat["tools"] = [{"type": "function", "function": function} for function in functions]
    if isinstance(request.tool_choice, FunctionChoice):
        chat["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice.name}}
    elif request.tool_choice is not None:
        chat["tool_choice"] = request.tool_choice
    if request.text is not None and request.text.format is not None:
        chat["response_format"] = _response_format(request.text.format)
    return chat


def _response_format(wish: Format) -> dict[str, Any]:
    if wish.type != "json_schema":
        return {"type": wish.type}
    return {"type": wish.type, "json_schema": dict(wish.model_extra or {})}


def _item(place: str, given: object) -> Item:
    """A message may leave its type out."""
    kind = given.get("type", "message") if isinstance(given, dict) else "message"
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        _refuse(f"{place}.type")
    is_known = shape is not ReferenceItem or _is_reasoning(given)
    if not is_known:
        _refuse(f"{place}.type")
    try:
        item = checked(shape, given)
        _check_parts(item)
        return item
    except InvalidRequest as error:
        field = f"{place}.{error.field}" if error.field else place
        raise InvalidRequest(f"{place}.{error.message}", field=field) from None


def _is_reasoning(reference: object) -> bool:
    """Whether an item refers to reasoning, which can be left out; nothing else is kept."""
    return isinstance(reference, dict) and str(reference.get("id") or "").startswith("rs_")


def _check_parts(item: Item) -> None:
    for name in ("content", "output"):
        parts = getattr(item, name, None)
        for at, part in enumerate(parts if isinstance(parts, list) else []):
            role = getattr(item, "role", "tool")
            if isinstance(part, ContentPart) and (fault := part.fault_for(role)):
                field = f"{name}.{at}.{fault[0]}"
                raise InvalidRequest(f"{field}: {fault[1]}", field=field)


def _refuse_unsupported(body: dict[str, Any]) -> None:
    for name in REFUSED:
        # Clients say what they do not want, too.
        if body.get(name) not in (None, False):
            _refuse(name)
    tools, items = body.get("tools"), body.get("input")
    for at, tool in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(tool, dict) and tool.get("type") != "function":
            _refuse(f"tools.{at}.type")
    for at, item in enumerate(items if isinstance(items, list) else []):
        outputs = item.get("output") if isinstance(item, dict) else None
        for number, part in enumerate(outputs if isinstance(outputs, list) else []):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind not in TEXT_PARTS:
                _refuse(f"input.{at}.output.{number}.type")
        parts = item.get("content") if isinstance(item, dict) else None
        for number, part in enumerate(parts if isinstance(parts, list) else []):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind not in (*KNOWN_PARTS, "reasoning_text"):
                _refuse(f"input.{at}.content.{number}.type")


def _refuse(field: str) -> NoReturn:
    message = f"{field}: is not supported here"
    raise InvalidRequest(message, field=field, code="unsupported_parameter")
