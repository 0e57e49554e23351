"""From chat messages to prompt tokens, with control strings typed by users made harmless."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from workers.answers.tool_calls import parse
from workers.engine import MessageTuple, Refused
from workers.format import ThinkingFormat

# Splits a control string so that no tokenizer sees it whole; shown as nothing.
ZERO_WIDTH_SPACE = "\u200b"


class Prompter:
    """Applies a model's own chat template and opens its thinking."""

    def __init__(self, tokenizer: Any, format_: ThinkingFormat) -> None:
        # A Hugging Face tokenizer; its class differs from model to model, hence Any.
        self._tokenizer = tokenizer
        self._format = format_
        added = [token.content for token in tokenizer.added_tokens_decoder.values()]
        special = set(tokenizer.all_special_tokens)
        self._control = sorted(
            {text for text in added if text in special or _looks_like_a_tag(text)}
            | {
                text
                for text in (*format_.stops, *format_.stop_texts, format_.start.strip())
                if _looks_like_a_tag(text)
            },
            key=len,
            reverse=True,
        )

    def neutralise(self, content: str) -> str:
        """Break up every control string, so that text stays text (per message, before templating).

        Covers special tokens and added tokens that look like tags, such as `</think>`.
        """
        for control in self._control:
            if control in content:
                content = content.replace(control, control[0] + ZERO_WIDTH_SPACE + control[1:])
        return content

    def tokens(
        self,
        messages: Sequence[MessageTuple],
        suffix: str = "",
        tools: list[dict[str, Any]] | None = None,
        opens: bool = True,
    ) -> list[int]:
        """Token ids of the templated conversation with thinking opened, unless not `opens`.

        `suffix` is added to the last user message. Raises Refused.
        """
        turns = [self._turn(*message) for message in messages]
        asked = [turn for turn in turns if turn["role"] == "user"]
        if suffix and asked:
            asked[-1]["content"] += self.neutralise(suffix)
        text = self._text(turns, self._neutral(tools), opens)
        if tools and text == self._text(turns, None, opens):
            why = "the model's chat template knows no tools"
            raise Refused("tools", why, "unsupported_parameter")
        start = self._format.start
        if opens and start and not text.rstrip().endswith(start.rstrip()):
            text += start
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _turn(self, role: str, content: str, extra: str = "") -> dict[str, Any]:
        more: dict[str, Any] = json.loads(extra) if extra else {}
        if "reasoning" in more:  # templates know it by its older name
            more.setdefault("reasoning_content", more["reasoning"])
        for call in more.get("tool_calls") or ():
            # OpenAI's are JSON in a string; templates write them as JSON themselves.
            with suppress(ValueError):
                call["function"]["arguments"] = parse(call["function"]["arguments"])
        turn: dict[str, Any] = self._neutral({**more, "role": role, "content": content})
        return turn

    def _neutral(self, value: Any) -> Any:
        """The same value with every string in it neutralised."""
        if isinstance(value, str):
            return self.neutralise(value)
        if isinstance(value, dict):
            return {self.neutralise(key): self._neutral(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._neutral(item) for item in value]
        return value

    def _text(self, turns: list[dict[str, Any]], tools: Any, opens: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                turns, tools=tools, tokenize=False, add_generation_prompt=opens
            )
        except Exception as error:  # templates are programs and raise whatever they like
            raise Refused("messages", f"the model's chat template refuses them: {error}") from error
        return text


def _looks_like_a_tag(text: str) -> bool:
    return len(text) > 2 and text[0] in "<[" and text[-1] in ">]"
