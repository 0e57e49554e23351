"""What a model's tokenizer makes of a text, a conversation or ids; nothing is generated."""

import json
from typing import Any

from workers.completion import CompletionRequest, Tokenized
from workers.engine import Refused
from workers.prompt import Prompter


def tokenized(
    tokenizer: Any, vocabulary: int, prompter: Prompter, request: CompletionRequest
) -> Tokenized:
    """By the purpose of the request. Raises Refused."""
    if request.purpose == "describe":
        return Tokenized(about=_about(tokenizer))
    ids = list(_ids(tokenizer, prompter, request))
    if unknown := [token for token in ids if not 0 <= token < vocabulary]:
        raise Refused("tokens", f"tokens holds {unknown[0]}, the model has {vocabulary}")
    if request.purpose == "detokenize":
        return Tokenized(text=tokenizer.decode(ids, skip_special_tokens=False))
    return Tokenized(tuple(ids), tuple(tokenizer.convert_ids_to_tokens(ids)))


def _ids(tokenizer: Any, prompter: Prompter, request: CompletionRequest) -> Any:
    if request.messages:
        tools = json.loads(request.sampling.tools) if request.sampling.tools else None
        messages: Any = request.messages
        return prompter.tokens(messages, tools=tools, opens=request.opens_answer)
    if not isinstance(request.prompt, str):
        return request.prompt
    try:
        return tokenizer.encode(request.prompt, add_special_tokens=request.special_tokens)
    except (TypeError, UnicodeError):
        raise Refused("prompt", "prompt holds half of a surrogate pair") from None


def _about(tokenizer: Any) -> str:
    """Its class, its chat template and what it was made with, as far as JSON can hold it."""
    made_with = getattr(tokenizer, "init_kwargs", {})
    plain = {key: value for key, value in made_with.items() if _is_plain(value)}
    # Where the files lie is nobody's business.
    paths = ("name_or_path", "vocab_file", "merges_file", "tokenizer_file")
    about = {key: value for key, value in plain.items() if key not in paths}
    about["tokenizer_class"] = type(tokenizer).__name__
    about["chat_template"] = getattr(tokenizer, "chat_template", None)
    return json.dumps(about)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
