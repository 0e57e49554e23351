"""Whatever an answer holds, reading and comparing it never raise, and equality is one."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.answer_spec import KINDS, AnswerSpec, Kind
from workers.answers.equality import Equality, spelt_alike
from workers.answers.extract import extract, normalise
from workers.answers.find import find_answer, find_reference
from workers.answers.forms import form_of
from workers.answers.grader import is_right

PIECES = [
    "\\boxed{", "}", "{", "\\frac", "\\sqrt", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "&",
    "$",
    "\\{", "\\}", "(", ")", "[", "]", ",", ";", " ", "\n", "1", "2.5", "-", "+", "^", "_", "=", "x",
    "A", "Answer:", "answer is", "答案", "####", "<answer>", "</answer>", "**", "`", '"', "\\pm",
    "\\text{", "%", "°", "€", "\\cup", "\\infty", "<", "\\le", "July 4, 1776", "3:30 PM", "and",
    "or",
    "<tool_call>", "f(a=1)", "1,234", "½", "５", "−", "\\pmod{7}", "5 cm", "10^", "e5", "…", "\x00",
]  # fmt: skip
soup = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
texts = soup | st.text(max_size=40)

whole = st.integers(-(10**6), 10**6)
plain = st.one_of(
    whole.map(str),
    whole.map(lambda n: f"{n:,}"),
    st.decimals(-1000, 1000, places=2).map(str),
    st.builds(lambda a, b: f"\\frac{{{a}}}{{{b}}}", whole, st.integers(2, 99)),
    st.sampled_from("ABCDE"),
    st.sampled_from(["Paris", "New York", "the Eiffel Tower", "yes", "no", "red, green, blue"]),
    st.builds(
        lambda n, unit: f"{n} {unit}", whole, st.sampled_from(["cm", "m/s", "kg", "°C", "%"])
    ),
    st.builds(lambda n, sign: f"{sign}{n}", st.integers(0, 999), st.sampled_from("$€£¥")),
    st.builds(lambda a, b: f"({a}, {b})", whole, whole),
    st.builds(lambda a, b: f"[{a}, {b})", whole, whole),
    st.builds(lambda a, b: f"\\{{{a}, {b}\\}}", whole, whole),
    st.builds(lambda a, b: f"x^2 + {a}x + {b}", st.integers(2, 99), st.integers(1, 99)),
    st.builds(lambda n: f"{n}\\sqrt{{3}}", st.integers(2, 99)),
    st.builds(lambda n: f"x = {n}", whole),
    st.builds(
        lambda a, b: f"\\begin{{pmatrix}} {a} & {b} \\\\ 0 & 1 \\end{{pmatrix}}", whole, whole
    ),
    st.dates().map(lambda day: f"{day:%B} {day.day}, {day.year:04}"),
    st.builds(lambda n: f'{{"a": {n}, "b": [1, 2]}}', whole),
)
WRAPS = [
    "{}", "  {}\n", "\\boxed{{{}}}", "$\\boxed{{{}}}$", "Answer: {}", "**Answer:** {}", "**{}**",
    "Final Answer: {}", "The answer is {}.", "The final answer is **{}**.", "### Answer\n{}",
    "<answer>{}</answer>", "Work.\n\nAnswer: {}\n\nThat is all.", "Antwort: {}", "Réponse : {}",
    "First 1.\n\n**Final Answer:** {}",
]  # fmt: skip


@given(texts, texts, st.sampled_from(KINDS))
@settings(max_examples=400)
def test_reading_and_comparing_never_raise_and_are_symmetric(
    one: str, other: str, kind: Kind
) -> None:
    spec = AnswerSpec(kind)
    for text in (one, other):
        form_of(text, kind)
        normalise(text)
        find_reference(text, spec)
        find_answer(text, spec, one)
        answer = find_answer(text, spec)
        assert answer is None or answer.strip()
    equality = Equality()
    there, back = equality.at_once(one, other, spec), equality.at_once(other, one, spec)
    assert there is not None
    assert back is not None
    assert there.same == back.same
    assert spelt_alike(one, other) == spelt_alike(other, one)
    is_right(one, other)


@given(texts, st.sampled_from([kind for kind in KINDS if kind != "none"]))
def test_an_answer_is_the_same_as_itself_with_spaces_round_it(text: str, kind: Kind) -> None:
    equality, spec = Equality(), AnswerSpec(kind)
    itself = equality.at_once(text, text, spec)
    assert itself is not None
    assert itself.same
    answer = find_answer(text, spec)
    if answer is not None:
        spaced = find_answer(f"  {text}\n ", spec)
        assert spaced == answer


@given(plain, st.sampled_from(WRAPS))
@settings(max_examples=400)
def test_what_is_round_an_answer_changes_nothing(answer: str, wrap: str) -> None:
    found, bare = find_answer(wrap.format(answer)), find_answer(answer)
    assert found is not None
    assert bare is not None
    verdict = Equality().at_once(found, bare)
    assert verdict is not None
    assert verdict.same, (found, bare)
    assert extract(wrap.format(answer)) == extract(answer)


@given(plain, plain, plain)
def test_the_one_form_of_an_answer_is_a_key(one: str, other: str, third: str) -> None:
    """Answers with one key are the same; a key is no answer of something else."""
    equality = Equality()
    for first, second in ((one, other), (other, third), (third, one)):
        verdict = equality.at_once(first, second)
        assert verdict is not None
        if normalise(first) == normalise(second):
            assert verdict.same, (first, second)


@given(whole, st.integers(1, 10**6), whole, st.integers(1, 10**6))
def test_numbers_are_the_same_when_their_values_are(a: int, b: int, c: int, d: int) -> None:
    one, other = f"\\frac{{{a}}}{{{b}}}", f"{c}/{d}"
    verdict = Equality().at_once(one, other)
    assert verdict is not None
    assert verdict.same == (Fraction(a, b) == Fraction(c, d))


@given(whole, whole)
def test_whole_numbers_that_differ_are_never_the_same(one: int, other: int) -> None:
    for spelt in (str(other), f"{other:,}", f"{other}.0", f"\\boxed{{{other}}}", f"${other}$"):
        found = find_answer(spelt)
        assert found is not None
        verdict = Equality().at_once(str(one), found)
        assert verdict is not None
        assert verdict.same == (one == other)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_an_answer_that_repeats_one_thing_is_read_in_time(piece: str) -> None:
    for text in (piece * (20_000 // len(piece)), "Answer: " + piece * (4000 // len(piece))):
        answer = find_answer(text)
        if answer is not None:
            Equality().at_once(answer, answer + " 1")
            normalise(answer)
