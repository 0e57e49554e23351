import json
import random
from collections import Counter
from pathlib import Path

import pytest

from training.pocket.examples import Piece, draw_example
from training.pocket.problems import (
    QUESTION_CLASSES,
    QUESTIONS_PER_CLASS,
    Operation,
    Problem,
    held_out_questions,
    write_questions,
)
from training.pocket.tokenizer import FINAL_ANSWER, SO, THINK

POCKET = Path(__file__).parents[3] / "workers" / "pocket"


def follow(value: int, operations: str) -> int:
    """Arithmetic told another way: whole numbers, and the last digit only at the end."""
    for sign, operand in zip(operations[::2], operations[1::2], strict=True):
        number = int(operand)
        value = {"+": value + number, "-": value - number, "*": value * number}[sign]
    return value % 10


def truths(question: str) -> dict[str, int]:
    """The value of each name; of a sum, its start as "" and its answer as "?"."""
    first, *links, last = (
        question.removesuffix("?").split(" ") if " " in question else (question,) * 2
    )
    if not links:
        start = int(question[0])
        return {"": start, "?": follow(start, question[1:-1])}
    values = {first[0]: int(first[2:])}
    for link in links:
        values[link[0]] = follow(values[link[2]], link[3:])
    return {**values, "?": values[last]}


def examples(count: int) -> list[list[Piece]]:
    rng = random.Random("tests")
    return [draw_example(rng, longest=8) for _ in range(count)]


def question_of(example: list[Piece]) -> str:
    return "".join(piece.text for piece in example).split("\n")[1].removesuffix("<|im_end|>")


def digits_with_truth(example: list[Piece]) -> list[tuple[Piece, int, str]]:
    """Each value written after the prompt, what it should be, and the place it stands for."""
    values = truths(question_of(example))
    start = [piece.text for piece in example].index(THINK) + 1
    found = []
    true = 0
    place = ""
    for before, piece in zip(example[start - 1 :], example[start:], strict=False):
        if piece.text == "\n" and "" in values:
            true, place = values[""], ""
        elif piece.text in values:
            true, place = values[piece.text], piece.text
        elif piece.text in (SO, FINAL_ANSWER):
            true, place = values["?"], "?"
        elif before.text in "+-*" and piece.text.isdigit():
            true = follow(true, before.text + piece.text)
            place = f"{place}{before.text}{piece.text}" if "" in values else ""
        elif piece.text.isdigit():
            found.append((piece, true, place))
    return found


def test_problem_keeps_the_last_digit_from_left_to_right() -> None:
    steps = (
        (Operation("*", 7), Operation("-", 2)),
        (Operation("+", 4), Operation("*", 3)),
    )
    chain = Problem("chain", 3, steps)
    assert chain.question == "a=3 b=a*7-2 c=b+4*3 c?"
    assert chain.values == (3, 9, 9)
    whole = Problem("sum", 3, (steps[0] + steps[1],))
    assert whole.question == "3*7-2+4*3?"
    assert whole.answer == 9


@pytest.mark.parametrize("name", QUESTION_CLASSES)
def test_answers_are_true(name: str) -> None:
    rng = random.Random(name)
    for _ in range(200):
        problem = QUESTION_CLASSES[name].draw(rng)
        assert truths(problem.question)["?"] == problem.answer


def test_no_wrong_digit_carries_loss() -> None:
    for example in examples(1500):
        for piece, true, _ in digits_with_truth(example):
            if piece.kind not in ("given", "quote"):
                assert piece.text == str(true)


def test_worked_checks_are_right() -> None:
    kinds = Counter[str]()
    for example in examples(1500):
        for piece, true, _ in digits_with_truth(example):
            if piece.kind in ("check", "recheck"):
                kinds[piece.kind] += 1
                assert piece.text == str(true)
    assert min(kinds["check"], kinds["recheck"]) > 500


def test_a_quote_repeats_what_was_held() -> None:
    for example in examples(1500):
        held: dict[str, str] = {}
        for piece, _, place in digits_with_truth(example):
            if piece.kind == "quote":
                assert piece.text == held[place]
            elif piece.kind not in ("check", "recheck"):
                held[place] = piece.text


def test_verdict_follows_from_quote_and_check() -> None:
    for example in examples(500):
        worked_out = ""
        for piece, verdict in zip(example, example[1:], strict=False):
            if piece.kind in ("check", "recheck"):
                worked_out = piece.text
            if piece.kind == "quote" and verdict.kind in ("ok", "fix"):
                assert (verdict.kind == "ok") == (piece.text == worked_out)


def test_training_never_asks_a_held_out_question() -> None:
    held_out = {question.question for question in held_out_questions()}
    assert len(held_out) == QUESTIONS_PER_CLASS * len(QUESTION_CLASSES)
    assert held_out.isdisjoint(map(question_of, examples(1500)))


def test_shipped_questions_are_what_the_generator_gives(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl")
    shipped = (POCKET / "questions.jsonl").read_text()
    assert shipped == (tmp_path / "questions.jsonl").read_text()
    first = json.loads(shipped.splitlines()[0])
    assert list(first) == ["id", "class", "question", "answer"]


def test_tokenizer_round_trips_every_text() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET)
    for text in (
        "a=3 b=a*7 b?",
        " two  spaces\n\nand\tlines\n",
        "Größe, 数, 🙂, Waiting so long",
    ):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_each_piece_of_an_example_is_one_token() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET)
    for example in examples(50):
        text = "".join(piece.text for piece in example)
        tokens = tokenizer.encode(text)
        assert [tokenizer.decode([token]) for token in tokens] == [piece.text for piece in example]


def test_chat_template_takes_a_system_message_and_many_turns() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET)
    turns = [
        ("system", "Be brief."),
        ("user", "1+1?"),
        ("assistant", "2"),
        ("user", "2+2?"),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?")
    assert prompt.endswith("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n")


def test_weights_are_small_and_finite() -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    path = POCKET / "model.safetensors"
    assert path.stat().st_size <= 8_000_000
    weights = safetensors.load_file(path)
    assert 1_000_000 <= sum(weight.numel() for weight in weights.values()) <= 4_000_000
    assert all(torch.isfinite(weight).all() for weight in weights.values())
