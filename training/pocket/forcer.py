"""Budget forcing of many questions at once, for measures: vLLM's offline engine, and s1's rules.

An end of thinking is dropped and "Wait" put in its place; a cut is closed by the answer's opening
words (s1, section 3.1). All rounds of one question together have one budget of thinking tokens.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.pocket.tokenizer import (
    ANSWER,
    FINAL_ANSWER,
    THINK,
    TURN_END,
    TURN_START,
    WAIT,
)

THINKING_TOKENS = 1200
ANSWER_TOKENS = 6


def load_engine(model: Path) -> Any:
    """vLLM's offline engine with a small model, float32 on the processor."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM

    return LLM(
        str(model),
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        max_num_seqs=256,
        kv_cache_memory_bytes=1 << 30,
        seed=0,
    )


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """The tokens after `think`, and whether the thoughts came to their own end."""

    tokens: tuple[int, ...]
    is_complete: bool

    def cut(self, tokens: int) -> "Thinking":
        if tokens >= len(self.tokens):
            return self
        return Thinking(self.tokens[:tokens], is_complete=False)


class Forcer:
    """Thinks and answers about many questions at once, at one temperature."""

    def __init__(self, llm: Any, temperature: float) -> None:
        self.llm = llm  # vllm.LLM, whose import is too heavy for this module's head
        self.tokenizer = llm.get_tokenizer()
        self.temperature = temperature
        self.stops = self.encode(TURN_START) + self.encode(TURN_END)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text))

    def prompt(self, question: Question) -> list[int]:
        turns = [{"role": "user", "content": question.text}]
        opening = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return self.encode(f"{opening}{TURN_START}{THINK}")

    def generate(
        self, prompts: Sequence[list[int]], max_tokens: Sequence[int], stops: list[int]
    ) -> list[Thinking]:
        """Go on from each prompt until a stop, which is dropped, or for `max_tokens` of its own."""
        from vllm import SamplingParams

        outputs = self.llm.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            [
                SamplingParams(
                    temperature=self.temperature,
                    max_tokens=most,
                    min_tokens=1,
                    stop_token_ids=stops,
                    detokenize=False,
                )
                for most in max_tokens
            ],
            use_tqdm=False,
        )
        generated = [tuple(output.outputs[0].token_ids) for output in outputs]
        return [
            Thinking(tokens[:-1], True) if tokens[-1] in stops else Thinking(tokens, False)
            for tokens in generated
        ]

    def think(self, questions: Sequence[Question]) -> list[Thinking]:
        prompts = [self.prompt(question) for question in questions]
        return self.generate(prompts, [THINKING_TOKENS] * len(prompts), self.stops)

    def wait(self, questions: Sequence[Question], thoughts: Sequence[Thinking]) -> list[Thinking]:
        """Thoughts that were cut have used up their budget and stay as they are."""
        extended = list(thoughts)
        word = self.encode(WAIT)
        waiting = {
            place: (*thinking.tokens, *word)
            for place, thinking in enumerate(thoughts)
            if thinking.is_complete and len(thinking.tokens) + len(word) < THINKING_TOKENS
        }
        more = self.generate(
            [[*self.prompt(questions[place]), *tokens] for place, tokens in waiting.items()],
            [THINKING_TOKENS - len(tokens) for tokens in waiting.values()],
            self.stops,
        )
        for place, thinking in zip(waiting, more, strict=True):
            tokens = (*waiting[place], *thinking.tokens)
            extended[place] = Thinking(tokens, thinking.is_complete)
        return extended

    def closing(self, thinking: Thinking) -> list[int]:
        if thinking.is_complete:
            return self.encode(f"{TURN_START}{ANSWER}")
        newline = self.encode("\n")
        ends_line = thinking.tokens[-1:] == tuple(newline)
        close = self.encode(f"{TURN_START}{ANSWER}\n{FINAL_ANSWER}")
        return close if ends_line else newline + close

    def answers(self, questions: Sequence[Question], thoughts: Sequence[Thinking]) -> list[str]:
        prompts = [
            [*self.prompt(question), *thinking.tokens, *self.closing(thinking)]
            for question, thinking in zip(questions, thoughts, strict=True)
        ]
        written = self.generate(prompts, [ANSWER_TOKENS] * len(prompts), self.encode(TURN_END))
        texts = [self.tokenizer.decode(answer.tokens) for answer in written]
        return [text.removeprefix(f"\n{FINAL_ANSWER}").strip() for text in texts]


def read_questions(path: Path, limit: int) -> dict[str, list[Question]]:
    """The first `limit` questions of each class."""
    classes: dict[str, list[Question]] = {}
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        questions = classes.setdefault(fields["class"], [])
        if len(questions) < limit:
            questions.append(Question(fields["question"], fields["answer"]))
    return classes
