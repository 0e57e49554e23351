"""From a curated row to tokens and labels: the text that is trained is the text that is forced.

The assistant's turn is the thinking between the strings of the `ThinkingFormat` that serving reads,
then the answer (s1, its data code). Loss begins with the first token of the assistant's turn and
ends with the turn; system prompt and question carry none. An answer without "Answer:" gets it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from policies.conditional import StepConditional, TokenConditional
from workers.format import S1_STEPS, ThinkingFormat
from workers.prompt import Prompter

NO_LOSS = -100
ANSWER = "Answer:"
Control = Literal["none", "tokens", "steps"]


class Example(NamedTuple):
    """Token ids and labels of one row, both of shape (tokens,); NO_LOSS where nothing is learned.

    `cut` is how many tokens at the end did not fit the block.
    """

    input_ids: list[int]
    labels: list[int]
    cut: int


class CutReport(NamedTuple):
    """What a block size does to a set: rows, rows cut, tokens lost, and the longest row."""

    rows: int
    cut_rows: int
    lost_tokens: int
    longest: int


@dataclass(frozen=True, slots=True)
class RowFormatter:
    """Formats rows for one tokenizer, a Hugging Face one with a chat template.

    `control` adds how long to think to the question, as the policies of the same name do when they
    serve: the power of two at or above the thinking's tokens, or its steps (s1, section 5.1).
    """

    tokenizer: Any
    format: ThinkingFormat
    control: Control = "none"

    def __post_init__(self) -> None:
        if (self.control == "steps") != (self.format.name == S1_STEPS.name):
            raise ValueError(
                f"control {self.control!r} does not go with format {self.format.name!r}: "
                f"steps need {S1_STEPS.name!r}, and it needs steps"
            )

    def text(self, question: str, thinking: str, answer: str) -> tuple[str, str]:
        """The prompt and the rest of the text. Raises ValueError for empty or unfit input."""
        for name, value in (("question", question), ("thinking", thinking), ("answer", answer)):
            if not value.strip():
                raise ValueError(f"{name} must not be empty, got {value!r}")
        neutral = Prompter(self.tokenizer, self.format).neutralise
        thinking, answer = neutral(thinking.strip()), neutral(answer.strip())
        user = {"role": "user", "content": neutral(question + self._suffix(thinking))}
        reply = self._reply(thinking, answer)
        turns = [user, {"role": "assistant", "content": reply}]
        prompt: str = self.tokenizer.apply_chat_template(
            [user], tokenize=False, add_generation_prompt=True
        )
        whole: str = self.tokenizer.apply_chat_template(turns, tokenize=False)
        if not whole.startswith(f"{prompt}{reply}"):
            kept = whole[len(prompt) :][:80]
            raise ValueError(f"the chat template does not keep the assistant's text: {kept!r}")
        return prompt, whole[len(prompt) :]

    def example(
        self, question: str, thinking: str, answer: str, block_size: int | None = None
    ) -> Example:
        """Ids and labels of a row, cut to the block. Raises ValueError as `text` does."""
        prompt, rest = self.text(question, thinking, answer)
        encoded = self.tokenizer(
            prompt + rest, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids: list[int] = encoded["input_ids"]
        labels = []
        for token, (begin, end) in zip(ids, encoded["offset_mapping"], strict=True):
            if begin < len(prompt) < end:
                raise ValueError("a token spans the prompt and the reply; their border must be one")
            labels.append(token if begin >= len(prompt) else NO_LOSS)
        most = len(ids) if block_size is None else block_size
        return Example(ids[:most], labels[:most], max(0, len(ids) - most))

    def _reply(self, thinking: str, answer: str) -> str:
        format_ = self.format
        if ANSWER not in answer:
            answer = f"{ANSWER} {answer}"
        tail = format_.end_on_cut.removeprefix(format_.end)
        gap = tail[: len(tail) - len(tail.lstrip())]
        if self.control == "steps":
            steps = steps_of(thinking)
            left = power_of_two(len(steps))
            body = "".join(
                f"{format_.start}{left - at} steps left\n{step}\n" for at, step in enumerate(steps)
            )
        else:
            body = f"{format_.start.rstrip()}\n{thinking}\n"
        return f"{body}{format_.end}{gap}{answer}"

    def _suffix(self, thinking: str) -> str:
        if self.control == "tokens":
            tokens = len(self.tokenizer.encode(thinking, add_special_tokens=False))
            return f"\n\n{TokenConditional(tokens=power_of_two(tokens)).instruction}"
        if self.control == "steps":
            count = power_of_two(len(steps_of(thinking)))
            return f"\n\n{StepConditional(steps=count).instruction}"
        return ""


def steps_of(thinking: str) -> list[str]:
    """The steps of a thinking: what empty lines separate."""
    return [step.strip() for step in thinking.split("\n\n") if step.strip()]


def power_of_two(count: int) -> int:
    """The smallest power of two that is at least `count`, and at least 1."""
    return 1 << max(0, count - 1).bit_length()


def report_cuts(examples: Iterable[Example]) -> CutReport:
    """What a block size cuts from the examples that were made with it."""
    rows = cut_rows = lost = longest = 0
    for example in examples:
        rows += 1
        cut_rows += example.cut > 0
        lost += example.cut
        longest = max(longest, len(example.input_ids) + example.cut)
    return CutReport(rows, cut_rows, lost, longest)
