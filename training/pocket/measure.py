"""Measures models on the held-out questions: forced Waits and caps, on vLLM, greedy.

    python -m training.pocket.measure base=workers/pocket mine=models/mine -o measured

What is written, a file a model, has every question's outcome, so that models can be compared
question by question. A model whose file is there is not measured again; one that was interrupted
goes on from the thoughts that it has, which are in a folder `unfinished` beside the files.
"""

import argparse
import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from scheduler.progress import progress
from training.pocket.forcer import Forcer, Question, Thinking, load_engine, read_questions
from workers.models import POCKET_FOLDER

WAITS = (0, 1, 2, 4)
CAPS = (32, 64, 128, 256)
CLASS_QUESTIONS = 300
QUESTIONS_AT_ONCE = 256


class Outcomes(NamedTuple):
    """Of one setting, a number for every question: 1 if it was right, and its thinking tokens."""

    right: list[int]
    tokens: list[int]


class Measured(NamedTuple):
    """Of one model: the class of every question, and the outcomes of settings by name."""

    classes: list[str]
    settings: dict[str, Outcomes]

    def write(self, path: Path) -> None:
        settings = {name: outcomes._asdict() for name, outcomes in self.settings.items()}
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"classes": self.classes, "settings": settings}) + "\n")
        unfinished.replace(path)


def read_measured(path: Path) -> Measured:
    fields = json.loads(path.read_text())
    settings = {name: Outcomes(**outcomes) for name, outcomes in fields["settings"].items()}
    return Measured(fields["classes"], settings)


def waits(number: int) -> str:
    return f"{number} Waits"


def cap(tokens: int) -> str:
    return f"cap {tokens}"


def measure(
    llm: Any, classes: dict[str, list[Question]], unfinished: Path, temperature: float = 0.0
) -> Measured:
    """Every setting, for all questions at once; thoughts are kept in a folder until the end."""
    questions = [question for asked in classes.values() for question in asked]
    names = [name for name, asked in classes.items() for _ in asked]
    return Measured(names, dict(_settings(Forcer(llm, temperature), questions, unfinished)))


def _settings(
    forcer: Forcer, questions: Sequence[Question], unfinished: Path
) -> Iterator[tuple[str, Outcomes]]:
    natural: list[Thinking] = []
    thoughts: list[Thinking] = []
    for number in range(max(WAITS) + 1):
        before, thoughts = thoughts, []
        for at in range(0, len(questions), QUESTIONS_AT_ONCE):
            some = slice(at, at + QUESTIONS_AT_ONCE)
            make = (
                partial(forcer.wait, questions[some], before[some])
                if number
                else partial(forcer.think, questions[some])
            )
            thoughts += kept(unfinished / f"{number}-{at}.json", make)
        natural = natural or thoughts
        if number in WAITS:
            yield waits(number), _outcomes(forcer, questions, thoughts)
    for tokens in CAPS:
        cut = [thinking.cut(tokens) for thinking in natural]
        yield cap(tokens), _outcomes(forcer, questions, cut)


def kept(path: Path, make: Callable[[], list[Thinking]]) -> list[Thinking]:
    """The thoughts of a file, or those that are made now and written there."""
    if path.exists():
        return [Thinking(tuple(tokens), whole) for tokens, whole in json.loads(path.read_text())]
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_suffix(".torn")
    torn.write_text(json.dumps([[each.tokens, each.is_complete] for each in made]))
    torn.replace(path)
    return made


def _outcomes(
    forcer: Forcer, questions: Sequence[Question], thoughts: Sequence[Thinking]
) -> Outcomes:
    answers = forcer.answers(questions, thoughts)
    right = [int(answer == q.answer) for answer, q in zip(answers, questions, strict=True)]
    return Outcomes(right, [len(thinking.tokens) for thinking in thoughts])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pocket.measure")
    parser.add_argument("models", nargs="+", help="NAME=FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder")
    parser.add_argument("--questions", type=int, default=CLASS_QUESTIONS, help="of each class")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    classes = read_questions(POCKET_FOLDER / "questions.jsonl", arguments.questions)
    # In this process, an engine needs no start-up of its own.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    with progress("measure", len(arguments.models)) as bar:
        for model in arguments.models:
            name, _, folder = model.partition("=")
            path = arguments.out / f"{name}.json"
            if not path.exists():
                unfinished = arguments.out / "unfinished" / f"{name}-{arguments.questions}"
                measure(load_engine(Path(folder)), classes, unfinished).write(path)
                shutil.rmtree(unfinished)
                gc.collect()  # ends the engine
            bar.advance(name)


if __name__ == "__main__":
    main()
