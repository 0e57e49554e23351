"""What a chat completion holds: thinking and answer, wherever the endpoint puts them."""

from typing import Any, NamedTuple

_TAG = "</think>"


class Reply(NamedTuple):
    """`thinking` is empty if none came; `is_cut` if the reply ended for its length."""

    thinking: str
    text: str
    is_cut: bool
    prompt_tokens: int
    completion_tokens: int


def parse(completion: dict[str, Any]) -> Reply:
    """The parts of an OpenAI chat completion.

    Thinking is `reasoning_content` or `reasoning` of the message, or what precedes `</think>`.
    """
    choice = (completion.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    text = message.get("content") or ""
    thinking = message.get("reasoning_content") or message.get("reasoning") or ""
    if not thinking and _TAG in text:
        thinking, _, text = text.partition(_TAG)
        thinking = thinking.strip().removeprefix("<think>")
    usage = completion.get("usage") or {}
    return Reply(
        str(thinking).strip(),
        str(text).strip(),
        choice.get("finish_reason") == "length",
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )
