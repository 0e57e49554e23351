"""The teacher's thoughts, the classifier's names, and the pool, without any model."""

import asyncio
import random

import pytest

from scheduler.errors import InvalidRequest
from training.curate.asked_stages import domain_prompt
from training.curate.connect import program
from training.curate.msc import domain_of
from training.curate.replies import Reply, parse
from training.pocket.classifier import class_of
from training.pocket.examples import held_out
from training.pocket.pool import SHARES, pool
from training.pocket.problems import QUESTION_CLASSES, Problem, read_problem
from training.pocket.teacher import MOST_CHECKS, think
from training.pocket.verifier.labels import labels
from workers.format import S1
from workers.models import POCKET_FOLDER


def drawn(count: int) -> list[Problem]:
    rng = random.Random("teacher")
    return [each.draw(rng) for each in QUESTION_CLASSES.values() for _ in range(count)]


def asked(name: str, question: str) -> Reply:
    body = {"messages": [{"role": "user", "content": question}]}
    return parse(asyncio.run(program(f"training.pocket.{name}:answer")(body)))  # type: ignore[arg-type]


def test_a_question_is_read_back_as_its_problem() -> None:
    for problem in drawn(50):
        assert read_problem(problem.question) == problem


@pytest.mark.parametrize("text", ["What is 17 + 25?", "a=3 b=a*7 d?", "a=3 c=a*7 c?", "3?", "3+7"])
def test_what_is_no_question_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no chain or sum"):
        read_problem(text)
    with pytest.raises(InvalidRequest, match="no chain or sum"):
        asked("teacher", text)


def test_a_teacher_that_checks_to_the_end_is_right() -> None:
    rng, checks = random.Random(0), list[int]()
    for problem in drawn(60):
        thoughts = think(problem, rng)
        text = "".join(piece.text for piece in thoughts.pieces)
        checks.append(text.count("Wait"))
        if thoughts.is_done:
            assert thoughts.last.held == problem.answer
        assert labels(problem, text)[-1] == (thoughts.last.held == problem.answer)
    assert max(checks) <= MOST_CHECKS
    assert {0, 1, 2, 3} <= set(checks)


def test_a_check_of_a_sum_takes_one_operation_at_a_time() -> None:
    seen = 0
    for problem in drawn(60)[-60:]:
        text = "".join(piece.text for piece in think(problem, random.Random(1)).pieces)
        for check in text.split("check:\n")[1:]:
            worked = check.split(" so ")[0].split(" fix")[0]
            signs = sum(worked.count(sign) for sign in "+-*")
            assert signs == worked.count("=") > 0
            seen += 1
    assert seen > 30


def test_the_same_question_gets_the_same_reply() -> None:
    question = drawn(1)[-1].question
    first, second = asked("teacher", question), asked("teacher", question)
    assert first == second
    assert first.thinking
    assert first.text.startswith("Final Answer: ")


def test_a_trace_is_formatted_in_the_words_the_model_knows() -> None:
    transformers = pytest.importorskip("transformers")
    from training.sft.formatting import RowFormatter

    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET_FOLDER)
    for problem in drawn(5):
        reply = asked("teacher", problem.question)
        example = RowFormatter(tokenizer, S1).example(problem.question, reply.thinking, reply.text)
        text = tokenizer.decode([token for token in example.labels if token >= 0])
        assert text == (
            f"<|im_start|>think\n{reply.thinking}\n<|im_start|>answer\n{reply.text}<|im_end|>\n"
        )


def test_every_class_has_questions_of_its_name_and_the_classifier_finds_it() -> None:
    names = {name: name for name in QUESTION_CLASSES}
    for problem in drawn(20):
        prompt = domain_prompt(problem.question, 0, names)
        assert domain_of(asked("classifier", prompt).text, names) == class_of(problem)
    right = [
        class_of(each.draw(random.Random(seed))) == name
        for name, each in QUESTION_CLASSES.items()
        for seed in range(100)
    ]
    assert sum(right) > 0.9 * len(right)  # the ranges of the classes overlap
    assert domain_of(asked("classifier", "What is 17 + 25?").text, names) is None


def test_the_pool_has_no_held_out_question_and_no_repeat() -> None:
    rows = list(pool(2000, 0))
    questions = [row["question"] for row in rows]
    assert len(set(questions)) == 2000
    assert held_out().isdisjoint(questions)
    assert list(pool(10, 0)) == rows[:10] != list(pool(10, 1))
    easy = sum(class_of(read_problem(question)) == "easy" for question in questions)
    assert easy / 2000 > SHARES["easy"] - 0.05
    for row in rows[:50]:
        assert row["solution"] == f"Final Answer: {read_problem(row['question']).answer}"
