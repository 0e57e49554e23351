"""POST /tokenize and /detokenize, GET /tokenizer_info, as vLLM has them: the engine's tokenizer."""

import json
import uuid
from collections.abc import Iterable
from contextlib import aclosing
from typing import Annotated, Any

from pydantic import BaseModel, Field

from policies.base import Message
from policies.sampling import SamplingParams
from scheduler.admission.access import CALLER
from scheduler.api import aliases, chat
from scheduler.api.anthropic import shape as anthropic_shape
from scheduler.api.anthropic.messages import renamed
from scheduler.api.completions_shape import TokenIds
from scheduler.api.messages import RequestMessage, Text, Tool
from scheduler.api.protocol import Flag, checked
from scheduler.errors import InvalidRequest, Overloaded
from scheduler.solving.controller import Controller
from workers.completion import CompletionRequest, Tokenized
from workers.engine import Refused


class TokenizeRequest(BaseModel):
    """A prompt, or a conversation."""

    model: str | None = None
    prompt: Text | None = None
    messages: Annotated[list[RequestMessage], Field(min_length=1, max_length=1000)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    add_special_tokens: Flag | None = None
    add_generation_prompt: Flag = True
    return_token_strs: Flag | None = None


class DetokenizeRequest(BaseModel):
    model: str | None = None
    tokens: TokenIds | Annotated[list[int], Field(max_length=0)]


async def tokenize(controller: Controller, body: object) -> dict[str, Any]:
    """The reply; raises RequestError."""
    request = checked(TokenizeRequest, body)
    _check_model(controller, request.model)
    if (request.prompt is None) == (request.messages is None):
        raise InvalidRequest("prompt: give either prompt or messages", field="prompt")
    turns = [Message(turn.role, turn.plain, turn.extra) for turn in request.messages or []]
    tools = [tool.model_dump(exclude_none=True) for tool in request.tools or []]
    asked = CompletionRequest(
        query=_name(),
        prompt=request.prompt or "",
        sampling=SamplingParams(tools=json.dumps(tools) if tools else None),
        purpose="tokenize",
        messages=_tuples(turns),
        special_tokens=request.add_special_tokens is not False,
        opens_answer=request.add_generation_prompt,
    )
    found = await _ask(controller, asked)
    return {
        "count": len(found.ids),
        "max_model_len": controller.info.max_model_len,
        "tokens": list(found.ids),
        "token_strs": list(found.texts) if request.return_token_strs else None,
    }


async def detokenize(controller: Controller, body: object) -> dict[str, Any]:
    """The reply; raises RequestError."""
    request = checked(DetokenizeRequest, body)
    _check_model(controller, request.model)
    asked = CompletionRequest(_name(), tuple(request.tokens), purpose="detokenize")
    return {"prompt": (await _ask(controller, asked)).text}


async def describe(controller: Controller) -> dict[str, Any]:
    """The tokenizer's class, chat template and settings."""
    found = await _ask(controller, CompletionRequest(_name(), "", purpose="describe"))
    about: dict[str, Any] = json.loads(found.about)
    return about


async def count_message_tokens(controller: Controller, body: object) -> dict[str, int]:
    """Of Anthropic's POST /v1/messages/count_tokens; raises RequestError."""
    request = anthropic_shape.parse(body, counts=True)
    with renamed():
        query = chat.prepare(controller, anthropic_shape.as_chat(request)).query
        sampling = SamplingParams(tools=query.sampling.tools)
        asked = CompletionRequest(
            _name(), "", sampling=sampling, purpose="tokenize", messages=_tuples(query.messages)
        )
        return {"input_tokens": len((await _ask(controller, asked)).ids)}


async def _ask(controller: Controller, request: CompletionRequest) -> Tokenized:
    caller, admission = CALLER.get(), controller.admission
    seconds = admission.deadline(None)
    async with admission.admitted(caller, worst=1, priority=caller.urgency(0), seconds=seconds):
        try:
            async with aclosing(controller.engine.complete(request)) as events:
                async for event in events:
                    if isinstance(event, Tokenized):
                        return event
        except Refused as refused:
            raise InvalidRequest(refused.why, field=refused.field, code=refused.code) from None
    raise Overloaded("no engine could be asked for its tokenizer; try again")


def _tuples(turns: Iterable[Message]) -> tuple[tuple[str, ...], ...]:
    return tuple(turn if turn.extra else turn[:2] for turn in turns)


def _check_model(controller: Controller, model: str | None) -> None:
    if model is not None:
        aliases.resolve(model, controller.info.model)


def _name() -> str:
    return f"tokens-{uuid.uuid4().hex}"
