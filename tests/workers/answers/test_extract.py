"""Answers that mean the same are the same string, whatever words are round them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.answers.extract import extract, normalise
from workers.answers.grader import is_right


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("42", "42"),
        ("Answer: 42", "42"),
        ("answer=42", "42"),
        ("Final Answer: 42", "42"),
        (" Final Answer:42.", "42"),
        ("\nFinal Answer: \n42", "42"),
        ("The answer is: 42", "42"),
        ("**Answer:** 42", "42"),
        ("**Answer: 42**", "42"),
        ("Answer: 42\nThat was easy.", "42"),
        ("Answer: 1\nNo.\nAnswer: 2", "2"),
        ("Final Answer: Answer: 42", "42"),
        ("Final Answer: The answer is: 42", "42"),
        ("Answer: 1. No, Answer: 2", "2"),
        (r"\boxed{42}", "42"),
        (r"It is \boxed{1}, no, \boxed{2}.", "2"),
        (r"\boxed{1,234}", "1234"),
        (r"\boxed{7} is the answer: 8", "8"),
        (r"Answer: $\boxed{023}$", "23"),
        (r"Final Answer: \fbox{3}", "3"),
        ("first line\nlast line", "last line"),
        ("42\n\n  \n", "42"),
        ("Paris", "paris"),
        ("Answer:  New   York ", "new york"),
        ('Answer: "B".', "b"),
        ("Answer: (B)", "b"),
        ("Final Answer: 3\r\n", "3"),
    ],
)
def test_the_answer_is_what_the_reply_settles_on(reply: str, answer: str) -> None:
    assert extract(reply) == answer


@pytest.mark.parametrize("reply", ["", " ", "\n\n\t\n", "***", "Answer: .", r"\boxed{ }"])
def test_a_reply_without_text_has_no_answer(reply: str) -> None:
    assert extract(reply) is None


def test_a_long_reply_is_read_at_its_end() -> None:
    assert extract("Answer: 1\n" + "blah " * 100_000 + "\nAnswer: 2") == "2"


@pytest.mark.parametrize(
    "part", [" ", "answer", "answer ", "answer is ", r"\boxed{", "1,", "\n", "Answer:\n", ":"]
)
def test_no_reply_takes_long_to_read(part: str) -> None:
    began = time.process_time()
    extract("answer" + part * (19_000 // len(part)))
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("023", "23"),
        ("23.0", "23"),
        ("23.", "23"),
        ("+23", "23"),
        ("-023.50", "-23.5"),
        ("0", "0"),
        ("000", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("-0.5", "-0.5"),
        ("0.50", "0.5"),
        ("1,234", "1234"),
        ("1,234,567.80", "1234567.8"),
        ("1,2", "1,2"),
        ("1,2,3", "1,2,3"),
        ("1, 2", "1, 2"),
        ("12:30", "12:30"),
        ("1/2", "0.5"),
        ("$5$", "5"),
        ("$5$.", "5"),
        ("**5**.", "5"),
        ('"Yes".', "yes"),
        ("`x + 1`", "x + 1"),
        ("e.g. This", "eg this"),
        ("10 000", "10000"),
        ("42%", "42%"),
        ("", None),
        ("...", None),
        ('"" ', None),
    ],
)
def test_answers_are_brought_to_one_form(answer: str, plain: str | None) -> None:
    assert normalise(answer) == plain


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("23", "23", True),
        ("23", "023", True),
        ("23", "23.0", True),
        ("1234", "1,234", True),
        ("paris", "Paris", True),
        ("23", "24", False),
        ("23", "-23", False),
        (None, "23", False),
        (None, "", False),
    ],
)
def test_an_answer_is_right_when_it_means_the_reference(
    answer: str | None, reference: str, right: bool
) -> None:
    assert is_right(answer, reference) is right


answers = st.text() | st.text("0123456789,.-+*$\"'` \t\nAa", max_size=12)


@given(st.text() | st.text("answer is:=\\boxed{}12.\n", max_size=60))
def test_any_reply_can_be_read(reply: str) -> None:
    answer = extract(reply)
    assert answer is None or answer == normalise(answer)


@given(answers)
def test_the_one_form_of_an_answer_stays_as_it_is(answer: str) -> None:
    plain = normalise(answer)
    assert plain is None or normalise(plain) == plain


@given(st.integers(-(10**9), 10**9), st.integers(0, 4), st.integers(0, 4))
def test_a_whole_number_is_the_same_however_it_is_written(
    number: int, leading: int, trailing: int
) -> None:
    sign = "-" if number < 0 else ""
    fraction = "." + "0" * trailing if trailing else ""
    padded = f"{sign}{'0' * leading}{abs(number)}{fraction}"
    for written in (padded, f"{number:,}{fraction}", f"${number}$", f"**{number}**."):
        assert is_right(extract(f"Answer: {written}"), str(number))
