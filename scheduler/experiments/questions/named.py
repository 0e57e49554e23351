"""Question sets by name: where they are on the Hugging Face hub, and what their columns mean.

A new set is a new row. A file of the same columns can take the place of the hub. AIME24, MATH500
and GPQA-Diamond are those of s1's evaluation (section 4.1).
"""

from dataclasses import dataclass

from policies.answer_spec import Kind


@dataclass(frozen=True, slots=True)
class NamedSet:
    """`question` and `answer` are columns; of several the first that is there is read.

    `choices` is a column that holds a list of choices; `answer` is then the letter of the right
    one. Or it is several columns, the right one last, which are shuffled. `rows` is the size of
    the set.
    """

    name: str
    hub_id: str
    question: tuple[str, ...]
    answer: tuple[str, ...]
    subset: str | None = None
    split: str = "test"
    id: str | None = None
    query_class: str | None = None
    kind: Kind = "auto"
    choices: tuple[str, ...] = ()
    rows: int | None = None


_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

NAMED_SETS: dict[str, NamedSet] = {
    row.name: row
    for row in (
        NamedSet(
            "AIME24",
            "simplescaling/aime24_nofigures",
            ("problem",),
            ("answer",),
            split="train",
            id="id",
            kind="number",
            rows=30,
        ),
        NamedSet(
            "AIME25",
            "TIGER-Lab/AIME25",
            ("question", "problem"),
            ("answer",),
            split="train",
            id="id",
            kind="number",
            rows=30,
        ),
        NamedSet(
            "MATH500",
            "simplescaling/openaimath",
            ("problem",),
            ("answer",),
            id="unique_id",
            query_class="subject",
            kind="math",
            rows=500,
        ),
        NamedSet(
            "GPQA-Diamond",
            "Idavidrein/gpqa",
            ("Question",),
            ("Correct Answer",),
            subset="gpqa_diamond",
            split="train",
            id="Record ID",
            query_class="High-level domain",
            kind="choice",
            choices=(*_WRONG, "Correct Answer"),
            rows=198,
        ),
        NamedSet(
            "GSM8K",
            "openai/gsm8k",
            ("question",),
            ("answer",),
            subset="main",
            kind="number",
            rows=1319,
        ),
        NamedSet(
            "MMLU-Pro",
            "TIGER-Lab/MMLU-Pro",
            ("question",),
            ("answer",),
            id="question_id",
            query_class="category",
            kind="choice",
            choices=("options",),
            rows=12032,
        ),
    )
}
