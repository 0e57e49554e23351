"""The synthetic pool that the study curates: mostly what the model can do, as real pools are."""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from training.pocket.examples import held_out
from training.pocket.problems import QUESTION_CLASSES

SHARES = {"easy": 0.40, "medium": 0.26, "hard": 0.12, "extreme": 0.10, "sum": 0.12}


def pool(rows: int, seed: int) -> Iterator[dict[str, str]]:
    """So many different questions with solutions, none of them held out, in random order."""
    rng, seen = random.Random(f"pool {seed}"), set(held_out())
    while rows:
        (name,) = rng.choices(list(SHARES), list(SHARES.values()))
        problem = QUESTION_CLASSES[name].draw(rng)
        if problem.question not in seen:
            seen.add(problem.question)
            rows -= 1
            yield {"question": problem.question, "solution": f"Final Answer: {problem.answer}"}


def write_pool(path: Path, rows: int, seed: int) -> None:
    """A JSON Lines file: a source of `thinkbudget curate`."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in pool(rows, seed)))


if __name__ == "__main__":
    write_pool(Path(sys.argv[1]), int(sys.argv[2]), seed=0)
