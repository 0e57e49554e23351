"""How a model marks its thinking: the strings, and their token ids under one tokenizer."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that formats need."""

    @property
    def eos_token_id(self) -> int | None: ...

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = ...) -> str: ...


@dataclass(frozen=True, slots=True)
class ThinkingFormat:
    """The strings of budget forcing (s1, section 3.1 and its evaluation code).

    `start` opens thinking after the chat template, unless the template has opened it already.
    A token of `stops`, or the end of turn, ends thinking; it is dropped, and `end` is appended
    instead, or `end_on_cut` when the budget ended it. `extension_text` replaces an end that is
    to be ignored.
    """

    name: str
    start: str
    stops: tuple[str, ...]
    end: str
    end_on_cut: str
    extension_text: str = "Wait"

    def __post_init__(self) -> None:
        for field in ("start", "end", "end_on_cut", "extension_text"):
            if not getattr(self, field):
                raise ValueError(f"format {self.name!r}: {field} must not be empty")
        if not self.stops:
            raise ValueError(f"format {self.name!r}: stops must name at least one string")
        if self.start == self.end:
            raise ValueError(f"format {self.name!r}: start and end are the same, {self.end!r}")
        if not self.end_on_cut.startswith(self.end):
            raise ValueError(f"format {self.name!r}: end_on_cut must begin with end {self.end!r}")

    @property
    def forced_answer(self) -> str:
        """The text that a cut puts at the head of the answer, such as "Final Answer:"."""
        return self.end_on_cut.removeprefix(self.end).lstrip()


S1 = ThinkingFormat(
    name="s1",
    start="<|im_start|>think",
    stops=("<|im_start|>",),
    end="<|im_start|>answer",
    end_on_cut="<|im_start|>answer\nFinal Answer:",
)
THINK_TAGS = ThinkingFormat(
    name="think-tags",
    start="<think>\n",
    stops=("</think>",),
    end="</think>",
    end_on_cut="</think>\n\nFinal Answer:",
)
FORMATS = {format_.name: format_ for format_ in (S1, THINK_TAGS)}


def named_format(name: str) -> ThinkingFormat:
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"format {name!r} is not known, there are {', '.join(FORMATS)}{hint}")


@dataclass(frozen=True, slots=True)
class TokenFormat:
    """A `ThinkingFormat` in token ids. `newline_ending` tells whether a token ends in a newline."""

    start: tuple[int, ...]
    stops: frozenset[int]
    end: tuple[int, ...]
    end_on_cut: tuple[int, ...]
    newline: tuple[int, ...]
    extension: tuple[int, ...]
    end_of_turn: frozenset[int]
    newline_ending: Callable[[int], bool]


def bind(
    format_: ThinkingFormat, tokenizer: Tokenizer, end_of_turn: Iterable[int] = ()
) -> TokenFormat:
    """The format in this tokenizer's ids; refuses a tokenizer that does not know its stops.

    `end_of_turn` are further ids that end a turn, beside the tokenizer's own.
    """

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    stops = set()
    for text in format_.stops:
        if len(ids(text)) != 1:
            raise ValueError(
                f"format {format_.name!r}: the stop {text!r} is {len(ids(text))} tokens in this "
                "model's tokenizer, it must be one; is it the right format for the model?"
            )
        stops.add(ids(text)[0])
    if tokenizer.eos_token_id is None:
        raise ValueError(f"format {format_.name!r}: the tokenizer has no end-of-turn token")
    return TokenFormat(
        start=ids(format_.start),
        stops=frozenset(stops),
        end=ids(format_.end),
        # Encoded in two parts, so that it begins with the tokens of `end` whatever the merges.
        end_on_cut=ids(format_.end) + ids(format_.end_on_cut.removeprefix(format_.end)),
        newline=ids("\n"),
        extension=ids(format_.extension_text),
        end_of_turn=frozenset({tokenizer.eos_token_id, *end_of_turn}),
        newline_ending=lambda token: tokenizer.decode([token]).endswith("\n"),
    )
