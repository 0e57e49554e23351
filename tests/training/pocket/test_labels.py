"""The labels of steps, against thinking whose truth is worked out by hand or by its writer."""

import random

import pytest

from training.pocket.examples import THOUGHTS, Thoughts
from training.pocket.problems import QUESTION_CLASSES, read_problem
from training.pocket.teacher import think
from training.pocket.verifier.labels import labels
from workers.verifier.steps import step_ends

CHAIN = "a=3 b=a*7-2+5 c=b+4*3 c?"  # b is 4, c is 4
SUM = "3+7-2*9+5?"  # 0, 8, 2, 7


@pytest.mark.parametrize(
    ("question", "thinking", "right"),
    [
        (CHAIN, "a=3 *7-2=9+5 b=4 +4*3 c=4", [True] * 4),
        # A wrong value inside a step; what follows from it is wrong by its own place only.
        (CHAIN, "a=3 *7-2=8+5 b=3 +4*3 c=1", [True, False, False, False]),
        (CHAIN, "a=3 *7-2=8+5 b=4 +4*3 c=4", [True, False, True, True]),
        # A quote repeats the draft and is no value; the fix is.
        (
            CHAIN,
            "a=3 *7-2+5 b=6 +4*3 c=0\nWait, check:\na=3 *7=1-2=9+5=4 b:6 fix b=4 +4*3 c=4 so c=4",
            [True, False, False, False, *[True] * 7],
        ),
        # Operations that the question does not have lead to no true value.
        (CHAIN, "a=3 *7-3=8", [True, False]),
        (SUM, "3+7-2=8*9+5=7", [True, True]),
        (SUM, "3+7-2=8*9+5=6\nWait, check:\n3+7-2=8:8 ok*9+5=7:6 fix 7 so 7",
         [True, False, False, True, True, True]),
        (SUM, "3+7-2=8*9+5=7\nWait, check:\n3+7-2=8:8 ok so 6", [True, True, True, True, False]),
    ],
)  # fmt: skip
def test_a_step_is_right_if_its_last_value_is_true(
    question: str, thinking: str, right: list[bool]
) -> None:
    assert labels(read_problem(question), thinking) == right


def written(thoughts: Thoughts) -> tuple[str, dict[int, bool]]:
    """The text, and by offset whether its writer held the last drafted value to be true."""
    text, sound = "", {}
    for piece, is_sound in zip(thoughts.pieces, thoughts.soundness, strict=True):
        text += piece.text
        # Worked out or restated, a value is true whatever the draft was.
        if piece.kind not in ("check", "recheck", "quote", "ok", "fix"):
            sound[len(text)] = is_sound
    return text, sound


@pytest.mark.parametrize("name", QUESTION_CLASSES)
def test_labels_are_what_the_writer_of_the_thoughts_knows(name: str) -> None:
    rng, compared, wrong = random.Random(name), 0, 0
    for _ in range(200):
        problem = QUESTION_CLASSES[name].draw(rng)
        for thoughts in (THOUGHTS[problem.family](problem, rng), think(problem, rng)):
            if not thoughts.pieces:
                thoughts.draft()
                thoughts.word("\n")
                thoughts.check()
            text, sound = written(thoughts)
            found = dict(zip(step_ends(text), labels(problem, text), strict=True))
            restated = {text.find("=", at) + 2 for at in _all(text, "check:\n")}
            for end in found.keys() & sound.keys() - restated:
                assert found[end] == sound[end], text[:end]
                compared, wrong = compared + 1, wrong + (not found[end])
    assert compared > 500 and wrong > 50


def _all(text: str, part: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(part, at)]
