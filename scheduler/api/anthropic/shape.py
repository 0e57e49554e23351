"""The shape of POST /v1/messages (Anthropic's Messages), and the chat request that it comes to.

Text in, text, thinking and tool calls out. Media, documents and tools that a server would run are
refused.
"""

import json
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from scheduler.api.messages import FunctionName, Id, Text
from scheduler.api.protocol import Count, Flag, StopText, Thinking, UserLabel, checked
from scheduler.errors import InvalidRequest

PASSED = ("model", "stream", "temperature", "top_p", "thinkbudget", "thinking_token_budget")
"""The same in a chat request."""

KNOWN_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use", "tool_result")


class Block(BaseModel):
    """A block of a message. Which fields it needs is up to its type."""

    type: Literal["text", "thinking", "redacted_thinking", "tool_use", "tool_result"]
    text: Text | None = None
    thinking: Text | None = None
    id: Id | None = None
    name: FunctionName | None = None
    input: dict[str, Any] | None = None
    tool_use_id: Id | None = None
    content: Text | list["Block"] | None = None

    @property
    def plain(self) -> str:
        """Of a text its text, of a result of a tool all of its texts."""
        if isinstance(self.content, list):
            return "".join(block.text or "" for block in self.content)
        return (self.content if self.type == "tool_result" else self.text) or ""


NEEDED = {"text": ("text",), "tool_use": ("id", "name"), "tool_result": ("tool_use_id",)}
OF_ROLE = {"user": ("text", "tool_result"), "assistant": KNOWN_BLOCKS[:-1], "system": ("text",)}


class Turn(BaseModel):
    role: Literal["user", "assistant", "system"]
    content: Text | list[Block]


class ToolDefinition(BaseModel):
    type: Literal["custom"] | None = None
    name: FunctionName
    description: Text | None = None
    input_schema: dict[str, Any] | None = None
    strict: Flag | None = None


class AnthropicToolChoice(BaseModel):
    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: Flag | None = None


class Owner(BaseModel):
    user_id: UserLabel | None = None


class OutputFormat(BaseModel):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(BaseModel):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class MessagesRequest(BaseModel):
    """What chat requests have in common with it is checked there."""

    model_config = ConfigDict(extra="allow")
    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    max_tokens: Count | None = None
    system: Text | list[Block] | None = None
    stop_sequences: Annotated[list[StopText], Field(max_length=4)] | None = None
    thinking: Thinking | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=128)] | None = None
    tool_choice: AnthropicToolChoice | None = None
    metadata: Owner | None = None
    output_config: OutputConfig | None = None
    top_k: int | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

    @property
    def shows_thinking(self) -> bool:
        """Blocks of thinking come to those who have asked for them: others read the first block
        as the text.
        """
        return self.thinking is not None and self.thinking.type != "disabled"

    @property
    def hides_text(self) -> bool:
        """Whether a block of thinking is to be empty."""
        extra = (self.thinking.model_extra or {}) if self.thinking else {}
        return extra.get("display") == "omitted"


def parse(body: object, *, counts: bool = False) -> MessagesRequest:
    """A checked request; raises InvalidRequest. `counts`: only its tokens are to be counted."""
    if isinstance(body, dict):
        _refuse_unsupported(body)
    request = checked(MessagesRequest, body)
    for at, turn in enumerate(request.messages):
        _check_blocks(f"messages.{at}.content", turn.role, turn.content)
    _check_blocks("system", "system", request.system)
    if request.max_tokens is None and not counts:
        raise InvalidRequest("max_tokens: field required", field="max_tokens")
    budget = request.thinking.budget_tokens if request.thinking else None
    if budget is not None and request.max_tokens is not None and budget >= request.max_tokens:
        why = f"max_tokens ({request.max_tokens}) must be greater than thinking.budget_tokens"
        raise InvalidRequest(f"{why} ({budget})", field="max_tokens")
    return request


def as_chat(request: MessagesRequest) -> dict[str, Any]:
    """The body of the chat request that asks for the same."""
    given = request.model_extra or {}
    chat = {name: given[name] for name in PASSED if given.get(name) is not None}
    turns = [{"role": "system", "content": _text(request.system)}] if request.system else []
    for turn in request.messages:
        turns += _turns(turn)
    chat |= {"messages": turns, "max_completion_tokens": request.max_tokens}
    chat |= {"stop": request.stop_sequences, "include_reasoning": request.shows_thinking}
    if request.thinking is not None:
        chat["thinking"] = request.thinking.model_dump(exclude={"display"}, exclude_none=True)
    if request.metadata is not None:
        chat["user"] = request.metadata.user_id
    if request.tools:
        chat["tools"] = [{"type": "function", "function": _function(t)} for t in request.tools]
    if (choice := request.tool_choice) is not None:
        chat["tool_choice"] = _choice(choice)
        chat["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    if (wish := request.output_config) is not None:
        chat["reasoning_effort"] = wish.effort
        if wish.format is not None:
            schema = {"name": "answer", "schema": wish.format.schema_}
            chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    return chat


def _text(content: str | list[Block]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.plain for block in content)


def _turns(turn: Turn) -> list[dict[str, Any]]:
    """A turn of a user may hold results of tools, which are turns of their own."""
    if isinstance(turn.content, str):
        return [{"role": turn.role, "content": turn.content}]
    texts = [block.plain for block in turn.content if block.type == "text"]
    if turn.role == "assistant":
        said: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
        calls = [_call(block) for block in turn.content if block.type == "tool_use"]
        thoughts = "".join(block.thinking or "" for block in turn.content)
        return [
            said
            | ({"tool_calls": calls} if calls else {})
            | ({"reasoning": thoughts} if thoughts else {})
        ]
    results = [
        {"role": "tool", "tool_call_id": block.tool_use_id, "content": block.plain}
        for block in turn.content
        if block.type == "tool_result"
    ]
    own = [{"role": turn.role, "content": "\n".join(texts)}] if texts or not results else []
    return results + own


def _call(block: Block) -> dict[str, Any]:
    arguments = json.dumps(block.input or {}, ensure_ascii=False)
    function = {"name": block.name, "arguments": arguments}
    return {"id": block.id, "type": "function", "function": function}


def _function(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
        "strict": tool.strict,
    }


def _choice(choice: AnthropicToolChoice) -> Any:
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name or ""}}
    return {"auto": "auto", "any": "required", "none": "none"}[choice.type]


def _check_blocks(place: str, role: str, content: str | list[Block] | None) -> None:
    for at, block in enumerate(content if isinstance(content, list) else []):
        here = f"{place}.{at}"
        if block.type not in OF_ROLE[role]:
            why = f"a {block.type} block cannot be of {role}"
            raise InvalidRequest(f"{here}.type: {why}", field=f"{here}.type")
        for name in NEEDED.get(block.type, ()):
            if getattr(block, name) is None:
                raise InvalidRequest(f"{here}.{name}: field required", field=f"{here}.{name}")


def _refuse_unsupported(body: dict[str, Any]) -> None:
    """What has another type than those that are known here, by its place."""
    tools, turns = body.get("tools"), body.get("messages")
    for at, tool in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(tool, dict) and tool.get("type") not in (None, "custom"):
            _refuse(f"tools.{at}.type")
    for at, turn in enumerate(turns if isinstance(turns, list) else []):
        _refuse_media(f"messages.{at}", turn)


def _refuse_media(place: str, holder: object) -> None:
    blocks = holder.get("content") if isinstance(holder, dict) else None
    for at, block in enumerate(blocks if isinstance(blocks, list) else []):
        here = f"{place}.content.{at}"
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(kind, str) and kind not in KNOWN_BLOCKS:
            _refuse(f"{here}.type")
        if kind == "tool_result":
            _refuse_media(here, block)


def _refuse(field: str) -> NoReturn:
    message = f"{field}: is not supported here"
    raise InvalidRequest(message, field=field, code="unsupported_parameter")
