"""The answer inside a reply as one string, in a form in which plainly equal answers are equal.

Formulas that are equal only by mathematics stay different strings: `equality` compares those.
"""

from policies.answer_spec import AnswerSpec
from workers.answers.compare import plain_number
from workers.answers.find import AUTO, find_answer
from workers.answers.forms import Choice, Equation, Formula, Json, Listing, Truth, Words, form_of
from workers.answers.numbers import Number
from workers.answers.units import NONE


def extract(reply: str, forced: str = "", spec: AnswerSpec = AUTO) -> str | None:
    """The answer that a reply settles on, normalised. None when there is none.

    `forced` are words that were put at the head of the reply: alone they are no answer.
    """
    answer = find_answer(reply, spec, forced)
    return None if answer is None else normalise(answer, spec)


def normalise(answer: str, spec: AnswerSpec = AUTO) -> str | None:
    """One spelling: "1/2", "0.50" and `\\frac{1}{2}` are "0.5", "(B)" is "b". None if empty."""
    plain = _spelt(answer, spec)
    for _ in range(3):
        again = plain and _spelt(plain, spec)
        if again == plain:
            break
        plain = again
    return plain


def _spelt(answer: str, spec: AnswerSpec) -> str | None:
    form = form_of(answer, "choice" if spec.is_choice else spec.kind)
    match form:
        case Equation(right=Number() as right):
            return _number(right)
        case Number():
            return _number(form)
        case Choice(letter=letter):
            return letter.lower()
        case Truth(words=words):
            return words.split()[0]
        case Json(value=value):
            return value
        case Formula(latex=latex) | Listing(latex=latex) | Equation(latex=latex):
            return " ".join(latex.split()) or None
        case Words(words=words):
            return " ".join(words.split()) or None


def _number(number: Number) -> str:
    kind = number.unit.kind
    if number.unit == NONE or kind == "DOLLAR":
        return plain_number(Number(number.size))
    value = plain_number(number)
    words = kind if kind.isupper() else number.unit_words
    return f"{value}{words}" if words in ("%", "°") else f"{value} {words.lower()}"
