"""Every source of the pool, and every test set, read from small copies of its data sets.

The copies have the subsets, splits and columns of the hub, as s1's data code reads them.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.curate.check import check
from training.curate.reading import check_columns, found, questions_of
from training.curate.settings import Curation, Decontaminate, Questions, read_settings
from training.curate.sources import SOURCES, TEST_SETS

pytestmark = pytest.mark.filterwarnings("default")

Rows = list[dict[str, Any]]
Splits = dict[tuple[str, str | None, str], Rows]


class Copied(NamedTuple):
    """Rows by data set, subset and split; of those that are read, what becomes of them."""

    splits: Splits
    questions: list[str]
    solutions: list[str | None]
    source_types: list[str]
    kinds: list[str]


def one(
    hub_id: str,
    rows: Rows,
    questions: list[str],
    solutions: list[str | None],
    kind: str = "math",
    split: str = "train",
    subset: str | None = None,
    source_type: str | None = None,
) -> Copied:
    """A data set of one split, all of whose rows have the same source type and kind."""
    count = len(questions)
    types, kinds = [source_type or hub_id] * count, [kind] * count
    return Copied({(hub_id, subset, split): rows}, questions, solutions, types, kinds)


def _arena() -> Copied:
    subjects = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")
    splits: Splits = {}
    for split in ("test", "val"):
        for subject in subjects:
            row = {"problem": f"{subject} {split}", "solution": "s", "subject": subject}
            splits["GAIR/OlympicArena", subject, split] = [
                {**row, "language": "EN", "modality": "text-only"},
                {**row, "language": "ZH", "modality": "text-only"},
                {**row, "language": "EN", "modality": "multi-modal"},
            ]
    kinds = ["math", *["science"] * 5, "coding"] * 2
    questions = [f"{subject} {split}" for split in ("test", "val") for subject in subjects]
    types = [f"GAIR/OlympicArena/{subject}" for subject in subjects] * 2
    return Copied(splits, questions, ["s"] * 14, types, kinds)


def _agieval() -> Copied:
    kinds = {"sat_en": "english", "sat_math": "math", "lsat_ar": "english", "lsat_lr": "english",
             "lsat_rc": "english", "logiqa": "math"}  # fmt: skip
    splits: Splits = {}
    questions, types, expected = [], [], []
    for split in ("test", "few_shot"):
        for subset, kind in kinds.items():
            passage = "" if subset == "sat_math" else "Read this."
            row = {"passage": passage, "question": f"{subset} {split}?", "solution": "s"}
            splits["baber/agieval", subset, split] = [{**row, "options": ["(A) 1", "(B) 2"]}]
            start = f"{passage}\n\n" if passage else ""
            questions.append(f"{start}{subset} {split}?\n(A) 1\n(B) 2")
            types.append(f"baber/agieval/{subset}")
            expected.append(kind)
        aqua = {"question": f"aqua {split}?", "solution": "s", "options": ["(A) 1"]}
        splits["baber/agieval", "aqua_rat", split] = [aqua]
        hard = {"question": f"hard {split}?", "solution": "s", "level": 5.0}
        easy = {"question": "easy?", "solution": "s", "level": 4.0}
        splits["baber/agieval", "math_agieval", split] = [hard, easy]
        questions += [f"aqua {split}?", f"hard {split}?"]
        types += ["baber/agieval/aqua_rat", "baber/agieval/math_agieval"]
        expected += ["math", "math"]
    return Copied(splits, questions, ["s"] * 16, types, expected)


def _gpqa(question: str) -> dict[str, str]:
    wrong = {f"Incorrect Answer {n}": f"wrong {n}\n" for n in (1, 2, 3)}
    return {"Question": question, "Explanation": "why", "Correct Answer": "right", **wrong}


def _numina(problem: str, source: str) -> dict[str, str]:
    return {"problem": problem, "solution": "s", "source": source}


def _scieval(task: str, question: str, answer: list[str] | None) -> dict[str, Any]:
    return {"question": question, "answer": answer, "task_name": task, "category": "C", "type": "T"}


CROSSWORD = "Find the word for this crossword clue; its letters are counted in brackets.\n\n"
NUMINA = "AI-MO/NuminaMath-CoT"
LIVE = "livecodebench/code_generation_lite"

COPIES: dict[str, Copied] = {
    "MATH": one(
        "simplescaling/openaimath",
        [{"problem": " 1 + 1? ", "solution": "2", "subject": "Algebra"}],
        ["1 + 1?"], ["2"], source_type="simplescaling/openaimath/Algebra",
    ),
    "OlympicArena": _arena(),
    "TheoremQA": one(
        "TIGER-Lab/TheoremQA",
        [{"Question": "q", "Answer": "3.0", "Answer_type": "float", "Picture": None},
         {"Question": "seen", "Answer": "3", "Answer_type": "float", "Picture": "a.png"}],
        ["q"], ["3.0"], split="test", source_type="TIGER-Lab/TheoremQA/float",
    ),
    "NuminaMATH": Copied(
        {
            (NUMINA, None, "train"): [
                _numina("forum", "aops_forum"), _numina("school", "cn_k12"),
                _numina("listed", "olympiads"),
            ],
            ("simplescaling/numinamath_500", None, "train"): [{"problem": "listed"}],
        },
        ["forum", "listed"], ["s", "s"], [f"{NUMINA}/aops_forum", f"{NUMINA}/olympiads"],
        ["math", "math"],
    ),
    "OmniMath": one(
        "KbsdJames/Omni-MATH", [{"problem": "p", "solution": "s", "answer": "a"}], ["p"], ["s"],
        split="test",
    ),
    "SciEval": Copied(
        {
            ("OpenDFM/SciEval", None, "test"): [
                _scieval("MedQA", "Which?\n\nA. 1\n\nAnswer:", ["A"]),
                _scieval("SocraticQA", "unanswered", None),
            ],
            ("OpenDFM/SciEval", None, "validation"): [
                _scieval("reagent selection", "Given:\nOptimal solvent:", ["C1CCOC1"]),
            ],
        },
        ["Which?\n\nA. 1", "Given:\nWhat is the optimal solvent?"], ["A", "C1CCOC1"],
        ["OpenDFM/SciEval/C/T/MedQA", "OpenDFM/SciEval/C/T/reagent selection"],
        ["health science", "science"],
    ),
    "OlympiadBench": Copied(
        {
            ("Hothan/OlympiadBench", subset, "train"): [
                {"question": subset, "solution": ["first", "second"], "question_type": "OE",
                 "subject": "Math"}
            ]
            for subset in ("OE_TO_maths_en_COMP", "OE_TO_physics_en_COMP", "TP_TO_maths_en_COMP",
                           "TP_TO_physics_en_COMP")
        },
        ["OE_TO_maths_en_COMP", "OE_TO_physics_en_COMP", "TP_TO_maths_en_COMP",
         "TP_TO_physics_en_COMP"],
        ["first"] * 4, ["Hothan/OlympiadBench/OE/Math"] * 4, ["math"] * 4,
    ),
    "JEEBench": Copied(
        {("daman1209arora/jeebench", None, "test"): [
            {"question": "p", "gold": "AB", "subject": "phy"},
            {"question": "c", "gold": "C", "subject": "chem"},
        ]},
        ["p", "c"], ["AB", "C"], ["daman1209arora/jeebench/phy", "daman1209arora/jeebench/chem"],
        ["math", "science"],
    ),
    "AGIEval": _agieval(),
    "s1-prob": one(
        "simplescaling/s1-prob", [{"question": "q", "solution": "s"}], ["q"], ["s"],
    ),
    "GPQA": Copied(
        {
            ("Idavidrein/gpqa", "gpqa_extended", "train"): [_gpqa("kept"), _gpqa("diamond")],
            ("Idavidrein/gpqa", "gpqa_diamond", "train"): [_gpqa("diamond")],
        },
        ["kept\nAnswer Choices:\n(A) wrong 1\n(B) wrong 2\n(C) wrong 3\n(D) right"],
        ["why\n\nAnswer: D"], ["Idavidrein/gpqa"], ["science"],
    ),
    "xword": one(
        "0xharib/xword1", [{"instruction": "i", "input": "### Clue: Cat (3)", "output": "tom"}],
        [f"{CROSSWORD}Cat (3)"], ["tom"], kind="crossword",
    ),
    "USACO": one(
        "codegenning/usacobench_formatted", [{"question": " q\n"}], ["q"], [None], kind="coding",
        split="test",
    ),
    "s1-teasers": one(
        "simplescaling/s1-teasers", [{"Question": "q", "Answer": "7"}], ["q"], ["7"],
    ),
    "LiveCodeBench": Copied(
        {
            (LIVE, f"release_v{n}", "test"): [
                {"question_content": f"v{n}", "difficulty": "hard"},
                {"question_content": "easy", "difficulty": "easy"},
            ]
            for n in (1, 2, 3)
        },
        ["v1", "v2", "v3"], [None] * 3, [f"LiveCodeBench/release_v{n}" for n in (1, 2, 3)],
        ["coding"] * 3,
    ),
    "AIME": one(
        "qq8933/AIME_1983_2024",
        [{"ID": "2021-I-1", "Year": 2021, "Question": "q", "Answer": "042"},
         {"ID": "2022-I-1", "Year": 2022, "Question": "later", "Answer": "1"}],
        ["q"], ["042"],
    ),
}  # fmt: skip
TESTS: dict[str, Copied] = {
    "AIME-validation": one("AI-MO/aimo-validation-aime", [{"problem": "p"}], ["p"], [None]),
    "GPQA-diamond": one(
        "Idavidrein/gpqa", [_gpqa("q")], ["q"], [None], subset="gpqa_diamond"
    ),
    "MATH500": one("simplescaling/openaimath", [{"problem": "p"}], ["p"], [None], split="test"),
    "LiveCodeBench-v4": one(
        LIVE, [{"question_content": "q"}], ["q"], [None], subset="release_v4", split="test"
    ),
}  # fmt: skip


def copy(folder: Path, splits: Splits) -> str:
    """Write data sets as repositories on the hub are: Parquet files, and a card that lists them."""
    subsets: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for (hub_id, subset, split), rows in splits.items():
        file = folder / hub_id / (subset or "default") / f"{split}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), file)
        subsets[hub_id][subset or "default"][split] = str(file.relative_to(folder / hub_id))
    for hub_id, found_ in subsets.items():
        lines = ["---", "configs:"]
        for subset, files in found_.items():
            lines += [f"- config_name: {subset}", "  data_files:"]
            lines += [f"  - split: {split}\n    path: {path}" for split, path in files.items()]
        (folder / hub_id / "README.md").write_text("\n".join([*lines, "---", ""]))
    return str(folder)


def test_all_sources_and_test_sets_have_a_copy() -> None:
    assert (set(COPIES), set(TESTS)) == (set(SOURCES), set(TEST_SETS))


@pytest.mark.parametrize("name", [*COPIES, *TESTS])
def test_a_source_becomes_questions(name: str, tmp_path: Path) -> None:
    copied = {**COPIES, **TESTS}[name]
    hub = copy(tmp_path, copied.splits)
    source = found(Questions(name), hub=hub, is_test=name in TESTS)
    check_columns(source)
    rows = list(questions_of(source))
    assert [row["question"] for row in rows] == copied.questions
    assert [row["solution"] for row in rows] == copied.solutions
    assert [row["source_type"] for row in rows] == copied.source_types
    assert [row["cot_type"] for row in rows] == copied.kinds
    assert {row["source"] for row in rows} == {name}


@pytest.mark.parametrize("name", COPIES)
def test_a_column_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    source, place = SOURCES[name], SOURCES[name].places[-1]
    column = source.solution or "question"
    splits = dict(COPIES[name].splits)
    for split, rows in splits.items():
        if split[:2] == (place.hub_id, place.subset):  # all splits, whose columns are the same
            splits[split] = [
                {f"other_{key}" if key.startswith(column) else key: row[key] for key in row}
                for row in rows
            ]
    read = found(Questions(name), hub=copy(tmp_path, splits))
    message = rf"{place.hub_id}.* of '{name}' has no column '{column}"
    with pytest.raises(ValueError, match=message):
        check_columns(read)
    with pytest.raises(ValueError, match=message):
        list(questions_of(read))


def test_a_sample_is_the_same_each_time_and_even_over_its_strata(tmp_path: Path) -> None:
    rows = [_scieval(task, f"{task} {n}", ["a"]) for task in "ab" for n in range(300)]
    splits: Splits = {("OpenDFM/SciEval", None, "test"): rows[:400],
              ("OpenDFM/SciEval", None, "validation"): rows[400:]}  # fmt: skip
    source = found(Questions("SciEval"), hub=copy(tmp_path, splits))
    drawn = [row["question"] for row in questions_of(source)]
    assert drawn == [row["question"] for row in questions_of(source)]
    assert len(drawn) == 250
    assert [sum(q.startswith(task) for q in drawn) for task in "ab"] == [125, 125]


def test_a_copy_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = found(Questions("MATH"), hub=str(tmp_path))
    with pytest.raises(ValueError, match=r"simplescaling/openaimath train cannot be read"):
        list(questions_of(source))


def test_settings_name_the_folder_of_copies_and_changed_files_are_seen(tmp_path: Path) -> None:
    hub = copy(tmp_path / "hub", COPIES["MATH"].splits)
    config = tmp_path / "curation.toml"
    config.write_text('out = "out"\nhub = "hub"\n[[sources]]\nname = "MATH"\n')
    settings = read_settings(config)
    assert settings.hub == hub
    seen = check(settings, ["load"], connect=None)  # type: ignore[arg-type]
    assert seen == [f"load: MATH from {hub}"]
    before = found(Questions("MATH"), hub=hub).identity
    (row,) = COPIES["MATH"].splits["simplescaling/openaimath", None, "train"]
    split: Splits = {("simplescaling/openaimath", None, "train"): [row, row]}
    copy(tmp_path / "hub", split)
    assert found(Questions("MATH"), hub=hub).identity != before
    with pytest.raises(ValueError, match="hub is a folder, which has no revision"):
        Curation("out", (Questions("MATH", revision="main"),), hub=hub,
                 decontaminate=Decontaminate(()))  # fmt: skip
