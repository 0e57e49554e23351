"""A synthetic pool, and models that answer it: curation without a network, for tests and measures.

Questions are small sums in many words, unlike each other. A model of skill s is right on the share
s of them, always the same ones; its thinking is longer for what is hard.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from training.curate.asking import Answer
from training.curate.msc import DOMAINS
from training.curate.settings import Endpoint

_SUM = re.compile(r"Find (\d+) \* (\d+) \+ (\d+)")
_ENDINGS = ("ab", "cor", "del", "est", "fin", "gar", "hon", "ist", "jun", "kel", "lum", "mor")


def pool(rows: int, seed: int = 0, words: int = 45) -> Iterator[dict[str, str]]:
    """Questions and solutions; one in fifty repeats an earlier one, one in fifty has a picture."""
    rng, earlier = Random(seed), list[str]()
    for number in range(rows):
        kind = number % 50
        if kind == 7 and earlier:  # white space and the last word differ
            question = f"{rng.choice(earlier)} please"
        elif kind == 17 and earlier:
            question = rng.choice(earlier)
        else:
            a, b, c = (rng.randrange(2, 1000) for _ in range(3))
            text = " ".join(_word(rng) for _ in range(words))
            question = f"{text}. Find {a} * {b} + {c}.{' [asy] draw' if kind == 27 else ''}"
            if len(earlier) < 1000:
                earlier.append(question)
        yield {"question": question, "solution": f"It is \\boxed{{{answer_to(question)}}}"}


def answer_to(question: str) -> int:
    match = _SUM.search(question)
    if match is None:
        raise ValueError(f"no sum in {question[:60]!r}")
    a, b, c = map(int, match.groups())
    return a * b + c


def luck(text: str) -> float:
    """A number from 0 to 1 that follows from the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def domain(text: str) -> str:
    """A code of DOMAINS that follows from the text alone."""
    codes = sorted(DOMAINS)
    return codes[int(luck(text) * len(codes))]


@dataclass(frozen=True, slots=True)
class SyntheticModel:
    """Answers requests: sums with its skill, and questions for a domain."""

    skill: float
    thinking_words: int = 200

    async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt: str = body["messages"][-1]["content"]
        if "Which of these subjects" in prompt:
            return completion("", f"By its words.\n{domain(prompt)}")
        return completion(*self.solve(prompt))

    def is_right(self, question: str) -> bool:
        return luck(question) < self.skill

    def solve(self, question: str) -> tuple[str, str]:
        """Thinking and answer."""
        hardness = luck(question)
        answer = answer_to(question) if _SUM.search(question) else 42
        right = self.is_right(question)
        count = int(self.thinking_words * (0.5 + hardness))
        thinking = " ".join(f"step {n}" for n in range(count // 2))
        return thinking, f"Answer: {answer if right else answer + 1}"


def completion(thinking: str, text: str) -> dict[str, Any]:
    """A chat completion as endpoints give it."""
    message = {"role": "assistant", "reasoning_content": thinking, "content": text}
    used = len(thinking.split()) + len(text.split())
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": used},
    }


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator[Answer]:
    """Models by the name of their skill: "0.3" is right on three questions in ten."""
    yield SyntheticModel(float(endpoint.model))


def _word(rng: Random) -> str:
    return "".join(rng.choice(_ENDINGS) for _ in range(rng.randrange(1, 4)))
