"""Answers that say the same are one vote and grade right by each other, others are not."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.answer_spec import AnswerSpec
from tests.workers.answers.pools import RealPool, real_pool
from workers.answers.classes import EquivalenceClasses
from workers.answers.extract import extract, normalise
from workers.answers.find import find_answer
from workers.answers.grader import Grader, is_right

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent / "data"


def rows(name: str) -> list[dict[str, Any]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


SETS = rows("same_answers.jsonl")
REFERENCES = rows("references.jsonl")
DIFFERENT = [
    tuple(line.split(" | ")) for line in (DATA / "different_answers.txt").read_text().splitlines()
]


@pytest.fixture(scope="module", name="math")
def fixture_math() -> Iterator[RealPool]:
    yield from real_pool()


@pytest.mark.parametrize("row", SETS, ids=[row["set"] for row in SETS])
def test_replies_of_one_group_are_one_vote_and_groups_are_not(
    row: dict[str, Any], math: RealPool
) -> None:
    spec = AnswerSpec(**row.get("spec", {}))

    async def classes() -> list[set[str]]:
        votes = EquivalenceClasses(math.equality, spec)
        found = []
        for group in row["groups"]:
            answers = [find_answer(reply, spec) for reply in group]
            assert None not in answers, group
            found.append({await votes.add(answer) for answer in answers if answer})
        return found

    representatives = math.run(classes())
    assert [len(each) for each in representatives] == [1] * len(row["groups"]), representatives
    assert len(set().union(*representatives)) == len(row["groups"]), representatives


@pytest.mark.parametrize("row", SETS, ids=[row["set"] for row in SETS])
def test_replies_of_one_group_grade_right_by_each_other(
    row: dict[str, Any], math: RealPool
) -> None:
    spec = AnswerSpec(**row.get("spec", {}))
    grader = Grader(math.pool)

    async def grades() -> list[tuple[str, str, bool]]:
        reference = row["groups"][0][0]
        return [
            (reply, reference, (await grader.grade(reply, reference, spec)).right)
            for group in row["groups"]
            for reply in group
        ]

    right = [len(row["groups"][0]) * [True], *([False] * len(g) for g in row["groups"][1:])]
    found = math.run(grades())
    wrong = [each for each, wanted in zip(found, itertools.chain(*right), strict=True)
             if each[2] != wanted]  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
@pytest.mark.parametrize("wrap", ["{}", r"\boxed{{{}}}", "Answer: {}"])
def test_answers_that_differ_are_never_the_same(
    one: str, other: str, wrap: str, math: RealPool
) -> None:
    first, second = (find_answer(wrap.format(text)) for text in (one, other))
    if first is None or second is None:
        return
    assert not math.run(math.equality.same(first, second)).same
    assert normalise(first) != normalise(second)
    assert not is_right(first, second)


@pytest.mark.parametrize("row", REFERENCES, ids=[row["answer"] for row in REFERENCES])
def test_references_are_read_as_data_sets_write_them(row: dict[str, Any], math: RealPool) -> None:
    grader = Grader(math.pool)

    async def right(reference: str) -> bool:
        return (await grader.grade(row["answer"], reference)).right

    assert [r for r in row["right"] if not math.run(right(r))] == []
    assert [r for r in row["wrong"] if math.run(right(r))] == []


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"We had \boxed{1}, so \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"Not \boxed{3}; rather \boxed{\sqrt{\frac{a}{b}}}.", r"\sqrt{\frac{a}{b}}"),
        (r"\boxed{1} is what I had. Finally \boxed{\begin{pmatrix} 1 \\ {2} \end{pmatrix}}",
         r"\begin{pmatrix} 1 \\ {2} \end{pmatrix}"),
        (r"\boxed{\text{a \{brace\}}}", r"a \{brace\}"),
        ("Now \\boxed{5} holds.\n\n**Answer: 6**", "6"),
        ("**Answer: 6**\n\nwhich is \\boxed{7}", "7"),
    ],
)  # fmt: skip
def test_the_last_box_or_statement_counts(reply: str, answer: str) -> None:
    assert find_answer(reply) == answer


@pytest.mark.parametrize(
    "forced", ["Final Answer:", "\nFinal Answer:", "Antwort:", "答案：", "The"]
)
@pytest.mark.parametrize("said", ["", " ", "\n\n", ".", " **", "\n$$", r" \boxed{}", " ..."])
def test_forced_words_alone_are_no_answer(forced: str, said: str) -> None:
    assert find_answer(forced + said, forced=forced) is None
    assert extract(forced + said, forced) is None


@pytest.mark.parametrize("forced", ["Final Answer:", "\nFinal Answer:", "Antwort:", "答案："])
@pytest.mark.parametrize("said", [" 42", "42.", "\n\\boxed{42}", " **42**\nThat is all.", " $42$"])
def test_what_follows_forced_words_is_the_answer(forced: str, said: str) -> None:
    assert find_answer(forced + said, forced=forced) == "42"
