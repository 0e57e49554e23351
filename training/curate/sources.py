"""The 16 sources of the paper's pool and its test sets, as data (s1, Table 6 and its data code).

A source is one or more parts, each of them a data set on the Hugging Face hub, or a local Parquet
or JSON Lines file with the same columns. A new source is a new row.

Hub names, subsets, splits and columns are those of the paper's data code. Known differences from
its pool: questions that the code keeps by name are not kept; SciEval takes as many questions of
each task, topics not looked at; rows are drawn before decontamination, not after.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Operator = Literal["is", "in", "at_most", "present", "absent"]


class Condition(NamedTuple):
    """A row is read only if its column passes."""

    column: str
    operator: Operator
    value: Any = None

    def holds(self, row: dict[str, Any]) -> bool:
        value = row[self.column]
        match self.operator:
            case "present":
                return value is not None
            case "absent":
                return value is None
            case "in":
                return value in self.value
            case "at_most":
                return value is not None and float(value) <= self.value
        return bool(value == self.value)


class Listed(NamedTuple):
    """Rows whose `column` is among that column's values in another data set on the hub."""

    hub_id: str
    column: str


class Place(NamedTuple):
    """A split of a data set, and which of its rows are read.

    Rows of `also` are read whatever `where` says. `question` and `kind` are those of the source
    unless they are given.
    """

    hub_id: str
    subset: str | None = None
    split: str = "train"
    where: tuple[Condition, ...] = ()
    also: Listed | None = None
    question: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """How rows become questions.

    `question` and `source_type` are templates over columns; `{subset}` is that of the place.
    `solution` is a column; the first item of a list counts. `kinds` gives the kind of question by
    the value of a column, `kind` that of all others. Of each text column only what follows `after`
    and precedes `before` is used, where it has them; then what `replaced` has takes the place of
    its keys. `choices` are columns of answers, the right one first; they are shuffled and appended.
    `without` names a test set whose questions are left out. `take` is how many rows are drawn
    (seed 42), as many of each value of `strata`. `rows` is the paper's count after its filters.
    """

    name: str
    places: tuple[Place, ...]
    question: str = "{question}"
    solution: str | None = "solution"
    kind: str = "math"
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    source_type: str | None = None
    where: tuple[Condition, ...] = ()
    after: str | None = None
    before: str | None = None
    replaced: dict[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    without: str | None = None
    take: int | None = None
    strata: str | None = None
    rows: int | None = None


def _subsets(hub_id: str, *subsets: str, splits: tuple[str, ...]) -> tuple[Place, ...]:
    return tuple(Place(hub_id, subset, split) for split in splits for subset in subsets)


_ARENA = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")
_OLYMPIAD = (
    "OE_TO_maths_en_COMP", "OE_TO_physics_en_COMP", "TP_TO_maths_en_COMP", "TP_TO_physics_en_COMP",
)  # fmt: skip
_AGI = {
    "sat_en": "english", "sat_math": "math", "lsat_ar": "english", "lsat_lr": "english",
    "lsat_rc": "english", "logiqa": "math",
}  # fmt: skip
_PASSAGE = "{passage}\n\n{question}\n{options}"
_CHOICES = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_LIVE = "livecodebench/code_generation_lite"

# In the paper's order: a question is compared with those of the sources above its own.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "MATH",
            (Place("simplescaling/openaimath"),),
            question="{problem}",
            source_type="simplescaling/openaimath/{subject}",
            rows=11999,
        ),
        Source(
            "OlympicArena",
            _subsets("GAIR/OlympicArena", *_ARENA, splits=("test", "val")),
            question="{problem}",
            kind="science",
            kinds={"subject": {"Math": "math", "CS": "coding"}},
            source_type="GAIR/OlympicArena/{subject}",
            where=(Condition("language", "is", "EN"), Condition("modality", "is", "text-only")),
            rows=4250,
        ),
        Source(
            "TheoremQA",
            (Place("TIGER-Lab/TheoremQA", split="test"),),
            question="{Question}",
            solution="Answer",
            source_type="TIGER-Lab/TheoremQA/{Answer_type}",
            where=(Condition("Picture", "absent"),),
            rows=747,
        ),
        Source(
            "NuminaMATH",
            (
                Place(
                    "AI-MO/NuminaMath-CoT",
                    where=(Condition("source", "is", "aops_forum"),),
                    also=Listed("simplescaling/numinamath_500", "problem"),
                ),
            ),
            question="{problem}",
            source_type="AI-MO/NuminaMath-CoT/{source}",
            rows=30660,
        ),
        Source(
            "OmniMath",
            (Place("KbsdJames/Omni-MATH", split="test"),),
            question="{problem}",
            rows=4238,
        ),
        Source(
            "SciEval",
            (Place("OpenDFM/SciEval", split="test"), Place("OpenDFM/SciEval", split="validation")),
            solution="answer",
            kind="science",
            kinds={"task_name": {"MedQA": "health science", "PubMedQA": "health science"}},
            source_type="OpenDFM/SciEval/{category}/{type}/{task_name}",
            where=(Condition("answer", "present"),),
            before="\n\nAnswer:",
            replaced={
                f"\nOptimal {what}:": f"\nWhat is the optimal {what}?"
                for what in ("solvent", "ligand", "reactant")
            },
            take=250,
            strata="task_name",
            rows=227,
        ),
        Source(
            "OlympiadBench",
            _subsets("Hothan/OlympiadBench", *_OLYMPIAD, splits=("train",)),
            source_type="Hothan/OlympiadBench/{question_type}/{subject}",
            rows=896,
        ),
        Source(
            "JEEBench",
            (Place("daman1209arora/jeebench", split="test"),),
            solution="gold",
            kinds={"subject": {"chem": "science"}},
            source_type="daman1209arora/jeebench/{subject}",
            rows=515,
        ),
        Source(
            "AGIEval",
            tuple(
                place
                for split in ("test", "few_shot")
                for place in (
                    *(
                        Place("baber/agieval", subset, split, question=_PASSAGE, kind=kind)
                        for subset, kind in _AGI.items()
                    ),
                    Place("baber/agieval", "aqua_rat", split),
                    Place(
                        "baber/agieval",
                        "math_agieval",
                        split,
                        where=(Condition("level", "is", 5),),
                    ),
                )
            ),
            source_type="baber/agieval/{subset}",
            rows=2385,
        ),
        Source("s1-prob", (Place("simplescaling/s1-prob"),), rows=182),
        Source(
            "GPQA",
            (Place("Idavidrein/gpqa", "gpqa_extended"),),
            question="{Question}",
            solution="Explanation",
            kind="science",
            choices=_CHOICES,
            without="GPQA-diamond",
            rows=348,
        ),
        Source(
            "xword",
            (Place("0xharib/xword1"),),
            question="Find the word for this crossword clue; its letters are counted in brackets."
            "\n\n{input}",
            solution="output",
            kind="crossword",
            after="### Clue: ",
            take=1000,
            rows=999,
        ),
        Source(
            "USACO",
            (Place("codegenning/usacobench_formatted", split="test"),),
            solution=None,
            kind="coding",
            rows=519,
        ),
        Source(
            "s1-teasers",
            (Place("simplescaling/s1-teasers"),),
            question="{Question}",
            solution="Answer",
            rows=23,
        ),
        Source(
            "LiveCodeBench",
            _subsets(_LIVE, "release_v1", "release_v2", "release_v3", splits=("test",)),
            question="{question_content}",
            solution=None,
            kind="coding",
            source_type="LiveCodeBench/{subset}",
            where=(Condition("difficulty", "is", "hard"),),
            rows=151,
        ),
        Source(
            "AIME",
            (Place("qq8933/AIME_1983_2024"),),
            question="{Question}",
            solution="Answer",
            where=(Condition("Year", "at_most", 2021),),
            rows=890,
        ),
    )
}

# LiveCodeBench release_v4 is among the paper's test sets, too; it would drop every question of the
# source LiveCodeBench, which Table 6 has, so it has to be asked for.
TEST_SETS: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "AIME-validation", (Place("AI-MO/aimo-validation-aime"),), "{problem}", solution=None
        ),
        Source(
            "GPQA-diamond", (Place("Idavidrein/gpqa", "gpqa_diamond"),), "{Question}", solution=None
        ),
        Source(
            "MATH500",
            (Place("simplescaling/openaimath", split="test"),),
            "{problem}",
            solution=None,
        ),
        Source(
            "LiveCodeBench-v4",
            (Place(_LIVE, "release_v4", "test"),),
            "{question_content}",
            solution=None,
        ),
    )
}
