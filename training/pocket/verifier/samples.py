"""What the verifier learns from: chains of the real s1-pocket on vLLM, at temperature 1.

The questions are drawn for this alone, and none is held out. Every third chain goes on after one
or two forced Waits, so that checks are seen too.
"""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scheduler.progress import progress
from training.pocket.examples import held_out
from training.pocket.forcer import Forcer, Question, load_engine
from training.pocket.problems import QUESTION_CLASSES, Problem
from workers.models import POCKET_FOLDER

AT_ONCE = 512
CHAINS = 3
"""Chains of one question; the last one has forced Waits."""
TEMPERATURE = 1.0


class Chain(NamedTuple):
    question: str
    thinking: str


def problems(number: int, seed: int) -> Iterator[Problem]:
    """So many problems, the classes in turn."""
    rng, names = random.Random(f"verifier {seed}"), list(QUESTION_CLASSES)
    drawn = 0
    while drawn < number:
        problem = QUESTION_CLASSES[names[drawn % len(names)]].draw(rng)
        if problem.question not in held_out():
            drawn += 1
            yield problem


def sample_chains(forcer: Forcer, drawn: Sequence[Problem], first: int) -> list[Chain]:
    """CHAINS chains of every problem; `first` is the number of the first of them."""
    asked = [Question(problem.question, "") for problem in drawn for _ in range(CHAINS)]
    thoughts = forcer.think(asked)
    last = list(range(CHAINS - 1, len(asked), CHAINS))
    for waits in (1, 2):
        places = [place for place in last if waits == 1 or (first + place // CHAINS) % 2]
        more = forcer.wait([asked[p] for p in places], [thoughts[p] for p in places])
        for place, thinking in zip(places, more, strict=True):
            thoughts[place] = thinking
    decode = forcer.tokenizer.decode
    return [
        Chain(question.text, decode(list(thinking.tokens)).strip())
        for question, thinking in zip(asked, thoughts, strict=True)
    ]


def write_chains(path: Path, questions: int, seed: int) -> None:
    """Sample into a JSON Lines file. What is in it already is kept, so that a run goes on."""
    done = len(read_chains(path)) // CHAINS if path.exists() else 0
    if done >= questions:
        return
    drawn = list(problems(questions, seed))
    forcer = Forcer(load_engine(POCKET_FOLDER), TEMPERATURE)
    with progress("samples", questions, done=done) as bar, path.open("a") as file:
        for first in range(done, questions, AT_ONCE):
            part = drawn[first : first + AT_ONCE]
            chains = sample_chains(forcer, part, first)
            file.write("".join(f"{json.dumps(chain._asdict())}\n" for chain in chains))
            file.flush()
            for _ in part:
                bar.advance()


def read_chains(path: Path) -> list[Chain]:
    """The chains of a file; a part that was not written whole is cut off it."""
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    lines = whole.splitlines(keepends=True)
    lines = lines[: len(lines) // CHAINS * CHAINS]
    if (kept := "".join(lines)) != text:
        path.write_text(kept)
    return [Chain(**json.loads(line)) for line in lines]


if __name__ == "__main__":
    write_chains(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
