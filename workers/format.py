"""How a model marks its thinking: the strings, and their token ids under one tokenizer."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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

    `start` opens thinking after the chat template, unless the template has opened it already; an
    empty one leaves that to the model. A token of `stops`, a text of `stop_texts` (any number of
    tokens, however they are cut) or the end of turn ends thinking; it is dropped, and `end` is
    appended instead, or `end_on_cut` when the budget ended it. `extension_text` replaces an end
    that is to be ignored.
    """

    __pydantic_config__ = {"extra": "forbid", "strict": True}

    name: str
    start: str
    end: str
    end_on_cut: str
    stops: tuple[str, ...] = ()
    stop_texts: tuple[str, ...] = ()
    extension_text: str = "Wait"
    #: Whether a chain that stands alone is meant to be greedy, as in the paper. Many models repeat
    #: themselves for ever when they are decoded so.
    greedy: bool = False

    def __post_init__(self) -> None:
        for field in ("name", "end", "end_on_cut", "extension_text"):
            if not getattr(self, field):
                raise ValueError(f"format {self.name!r}: {field} must not be empty")
        if not self.stops and not self.stop_texts:
            raise ValueError(f"format {self.name!r}: stops and stop_texts are both empty")
        if "" in self.stops or "" in self.stop_texts:
            raise ValueError(f"format {self.name!r}: an empty string cannot be a stop")
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
    greedy=True,
)
THINK_TAGS = ThinkingFormat(
    name="think-tags",
    start="<think>\n",
    stops=("</think>",),
    end="</think>",
    end_on_cut="</think>\n\nFinal Answer:",
)
# Step-conditional control (s1, section 5.1): the model writes "<|im_start|>{k} steps left" itself,
# counting down, so only zero, a negative number or the answer end its thinking.
S1_STEPS = ThinkingFormat(
    name="s1-steps",
    start="<|im_start|>",
    stop_texts=("<|im_start|>0", "<|im_start|>-", "<|im_start|>answer"),
    end="<|im_start|>answer",
    end_on_cut="<|im_start|>answer\nFinal Answer:",
    greedy=True,
)
FORMATS = {format_.name: format_ for format_ in (S1, THINK_TAGS, S1_STEPS)}


def named_format(name: str) -> ThinkingFormat:
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"format {name!r} is not known, there are {', '.join(FORMATS)}{hint}")


@dataclass(frozen=True, slots=True)
class TokenFormat:
    """A `ThinkingFormat` in the ids of one tokenizer."""

    strings: ThinkingFormat
    tokenizer: Tokenizer
    start: tuple[int, ...]
    stops: frozenset[int]
    end: tuple[int, ...]
    end_on_cut: tuple[int, ...]
    newline: tuple[int, ...]
    extension: tuple[int, ...]
    end_of_turn: frozenset[int]

    @property
    def stop_texts(self) -> tuple[str, ...]:
        return self.strings.stop_texts

    @property
    def forced_answer(self) -> tuple[int, ...]:
        """What a cut puts at the head of the answer."""
        return self.end_on_cut[len(self.end) :]

    @property
    def wordless(self) -> "TokenFormat":
        """The same, but a cut puts nothing at the head of the answer."""
        strings = replace(self.strings, end_on_cut=self.strings.end)
        return replace(self, strings=strings, end_on_cut=self.end)

    @property
    def most_closing(self) -> int:
        """Tokens of the longest closing: a newline, and the delimiter of a cut."""
        return len(self.newline) + len(self.end_on_cut)

    def closing_on_cut(self, *, on_a_fresh_line: bool) -> list[int]:
        return [*(() if on_a_fresh_line else self.newline), *self.end_on_cut]

    def ends_a_line(self, tokens: Sequence[int]) -> bool:
        return self.decode(tokens[-1:]).endswith("\n")

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)

    def extension_for(self, text: str | None) -> tuple[int, ...]:
        """Ids of an extension text; None is the format's own.

        Refuses a text without tokens, and one that would end the thinking it is to prolong.
        """
        if text is None:
            return self.extension
        try:
            ids = self.encode(text)
        except (TypeError, UnicodeError):  # half of a surrogate pair, say
            ids = ()
        if not ids:
            raise ValueError(f"extension_text {text!r} has no tokens in this model's tokenizer")
        control = {*self.stops, *self.end_of_turn, *getattr(self.tokenizer, "all_special_ids", ())}
        if control & {*ids} or any(stop in text for stop in self.stop_texts):
            raise ValueError(f"extension_text {text!r} holds a control token of this model")
        return ids


def bind(
    format_: ThinkingFormat, tokenizer: Tokenizer, end_of_turn: Iterable[int] = ()
) -> TokenFormat:
    """The format in this tokenizer's ids; refuses a tokenizer that does not know its strings.

    `end_of_turn` are further ids that end a turn, beside the tokenizer's own.
    """

    def ids(text: str, field: str) -> tuple[int, ...]:
        try:
            found = tuple(tokenizer.encode(text, add_special_tokens=False))
        except (TypeError, UnicodeError):  # half of a surrogate pair, say
            found = ()
        # Some tokenizers drop or replace what they do not know, without a word.
        if text and tokenizer.decode(list(found), skip_special_tokens=False) != text:
            raise ValueError(
                f"format {format_.name!r}: this model's tokenizer cannot spell {field} {text!r}"
            )
        return found

    stops = set()
    for text in format_.stops:
        found = ids(text, "stop")
        if len(found) != 1:
            raise ValueError(
                f"format {format_.name!r}: the stop {text!r} is {len(found)} tokens in this "
                "model's tokenizer, it must be one; is it the right format for the model? "
                "(stop_texts may be of any number of tokens)"
            )
        stops.add(found[0])
    for text in format_.stop_texts:
        ids(text, "stop_texts")
    if tokenizer.eos_token_id is None:
        raise ValueError(f"format {format_.name!r}: the tokenizer has no end-of-turn token")
    end = ids(format_.end, "end")
    return TokenFormat(
        strings=format_,
        tokenizer=tokenizer,
        start=ids(format_.start, "start"),
        stops=frozenset(stops),
        end=end,
        # Encoded in two parts, so that it begins with the tokens of `end` whatever the merges.
        end_on_cut=end + ids(format_.end_on_cut.removeprefix(format_.end), "end_on_cut"),
        newline=ids("\n", "the newline"),
        extension=ids(format_.extension_text, "extension_text"),
        end_of_turn=frozenset({tokenizer.eos_token_id, *end_of_turn}),
    )
