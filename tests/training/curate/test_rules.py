"""Decontamination, duplicates, formats and domains against cases worked out by hand."""

from pathlib import Path
from random import Random

import pytest

from training.curate.asked_stages import domain_prompt
from training.curate.bulk import InProcess
from training.curate.decontaminate import IN_SOURCE, IN_TEST, decontaminate, index_of_tests
from training.curate.duplicates import NEAR, SAME, drop_duplicates
from training.curate.grading import by_answer, verdict
from training.curate.msc import DOMAINS, domain_of
from training.curate.ngrams import gram_hashes, members
from training.curate.parts import PartWriter, part_files, read_column
from training.curate.quality import bad_format, missing
from training.curate.rows import question_key, typed
from training.curate.settings import Classify, Endpoint
from training.curate.sources import SOURCES

EIGHT = "one two three four five six seven eight"


def written(folder: Path, *sources: tuple[str, list[str]]) -> list[Path]:
    folder.mkdir()
    with PartWriter(folder) as out:
        for source, questions in sources:
            rows = [{"key": question_key(q), "question": q, "source": source} for q in questions]
            out.write(typed(rows))
            out.end_part()
    return part_files(folder)


def shared(one: str, other: str) -> int:
    return len(members(gram_hashes(one), gram_hashes(other)))


def test_a_gram_is_eight_words_whatever_their_case_and_white_space() -> None:
    assert shared(EIGHT, "ONE two\n three  four five six SEVEN eight nine") == 1
    assert shared(EIGHT, "one two three four five six seven eight, nine") == 0
    assert len(gram_hashes("one two three four five six seven")) == 0


def test_hashes_share_what_the_words_share() -> None:
    rng = Random(0)
    for _ in range(300):
        one, other = ([rng.choice("ab") for _ in range(rng.randrange(20))] for _ in range(2))
        grams = [{tuple(w[at : at + 8]) for at in range(len(w) - 7)} for w in (one, other)]
        assert shared(" ".join(one), " ".join(other)) == len(grams[0] & grams[1])


def test_a_source_is_compared_with_tests_and_with_what_earlier_sources_kept(tmp_path: Path) -> None:
    test = "t1 t2 t3 t4 t5 t6 t7 t8"
    both = f"{test} {EIGHT}"  # goes for the test, so it is not what `c` is compared with
    a = [both, "a1 a2 a3 a4 a5 a6 a7 a8", "a1 a2 a3 a4 a5 a6 a7 a8 again"]
    b = ["see: a1 a2 a3 a4 a5 a6 a7 a8", EIGHT, "short"]
    c = [f"c {EIGHT}", "short"]
    files = written(tmp_path / "in", ("a", a), ("b", b), ("c", c))
    (tmp_path / "out").mkdir()
    with PartWriter(tmp_path / "out") as out:
        decontaminate(files, index_of_tests([test]), InProcess(), out)
    kept = read_column(part_files(tmp_path / "out"), "question")
    assert kept == [a[1], a[2], EIGHT, "short", "short"]
    assert out.reasons == {IN_TEST: 1, IN_SOURCE: 2}


def test_repeats_go_and_the_first_stays(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(60)]
    long = " ".join(words)
    near = " ".join([*words[:-1], "other"])
    far = " ".join(words[::-1])
    files = written(tmp_path / "in", ("a", [long, far, near, long, "short one", "short two"]))
    for threshold, left in ((0.8, [long, far, "short one", "short two"]), (1.0, None)):
        folder = tmp_path / str(threshold)
        folder.mkdir()
        with PartWriter(folder) as out:
            drop_duplicates(files, InProcess(), out, threshold=threshold, permutations=128)
        if left is not None:
            assert read_column(part_files(folder), "question") == left
            assert out.reasons == {SAME: 1, NEAR: 1}
        else:
            assert out.reasons == {SAME: 1}


@pytest.mark.parametrize(
    ("question", "source", "reason"),
    [
        ("Draw [asy] size(3); [/asy]", "MATH", "format: [asy]"),
        ("Draw [asy] size(3); [/asy]", "AIME", None),
        ("See ![Image](x.png)", "MATH", "format: ![Image]"),
        ("As in p12. of the list", "MATH", "format: numbered reference"),
        ("Take p0. and p1000. and sp.", "MATH", None),
        ("**Problem** 3 of", "MATH", "format: bold run"),
        ("3 is a **word** here", "MATH", None),
        ("**two words** and 3", "MATH", None),
    ],
)
def test_the_notebook_s_patterns(question: str, source: str, reason: str | None) -> None:
    assert bad_format(question, source) == reason


def test_a_row_without_a_solution_cannot_be_graded_and_goes() -> None:
    row = {"thinking": "t", "attempt": "a", "solution": None}
    assert missing(row) == "missing: solution"
    assert missing(row | {"solution": "s", "thinking": " "}) == "missing: thinking"
    assert missing(row | {"solution": "s"}) is None


def test_the_pool_is_that_of_the_paper() -> None:
    assert len(SOURCES) == 16
    assert sum(source.rows or 0 for source in SOURCES.values()) == 59_029
    assert len(DOMAINS) == 61
    assert (min(DOMAINS), max(DOMAINS)) == ("03", "97")


def test_domains_and_verdicts_are_read_from_the_end() -> None:
    assert domain_of("It counts things.\n05") == "05"
    assert domain_of("05 or maybe\n**11**") == "11"
    assert domain_of("I cannot say 00") is None
    assert (verdict("why\nYes"), verdict("No\n"), verdict("Yes, it is")) == (True, False, None)


def test_an_attempt_is_right_if_its_answer_is_that_of_the_solution() -> None:
    assert by_answer("Answer: 042", "so it is \\boxed{42}") is True
    assert by_answer("Answer: 41", "so it is \\boxed{42}") is False
    assert by_answer("Answer: 41", "") is None


def test_domains_of_one_s_own_take_the_place_of_the_subjects() -> None:
    names = {"sum": "sums", "a": "short", "extra": "long"}
    assert domain_of("By its length.\nsum.", names) == "sum"
    assert domain_of("extra", names) == "extra"  # ends with "a", too
    assert domain_of("05", names) is None
    prompt = domain_prompt("3+7?", 0, names)
    assert "sum sums\na short\nextra long" in prompt and "05" not in prompt
    free = Endpoint(model="1", prompt_price=0, completion_price=0)
    for wrong in ({}, {"": "nothing"}):
        with pytest.raises(ValueError, match="domains must have codes that are not empty"):
            Classify(classifier=free, domains=wrong)
