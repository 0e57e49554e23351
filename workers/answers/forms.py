"""What an answer says: a number, a choice, yes or no, a list, a formula, JSON or words."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from policies.answer_spec import Kind
from workers.answers.json_answer import json_value
from workers.answers.latex import tidy
from workers.answers.lists import parts_of
from workers.answers.numbers import Number, number_of
from workers.answers.units import NONE, Unit, unit_of
from workers.answers.words import truth_of, words_of


@dataclass(frozen=True, slots=True)
class Choice:
    """One letter, in the case it was written in, and the text of the choice if it is beside it."""

    letter: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool
    words: str


@dataclass(frozen=True, slots=True)
class Formula:
    """LaTeX without delimiters; `unit` is what stands behind it."""

    latex: str
    unit: Unit = NONE


@dataclass(frozen=True, slots=True)
class Equation:
    """A name and what it equals: "x = 5"."""

    name: str
    right: "Form"
    latex: str


@dataclass(frozen=True, slots=True)
class Listing:
    """`kind` "bare" stands without brackets: "1, 2", "1 or 2". Sets have no order.

    `brackets` are those of a tuple, a list or an interval, such as "[)".
    """

    kind: Literal["bare", "set", "tuple", "matrix"]
    items: tuple["Form", ...]
    brackets: str
    latex: str


@dataclass(frozen=True, slots=True)
class Json:
    value: str


@dataclass(frozen=True, slots=True)
class Words:
    words: str
    raw: str


Form = Number | Choice | Truth | Formula | Equation | Listing | Json | Words

_CHOICE_WORD = (
    r"(?:(?:the\s+)?(?:correct\s+|right\s+|best\s+)?(?:option|choice|answer|antwort|réponse|"
    r"respuesta|opción|opzione|opção|вариант|ответ|选项|選択肢)\s*(?:is\s+|:\s*)?)?"
)
_LETTER = re.compile(rf"{_CHOICE_WORD}[(\[]?\s*([A-Za-z])\s*[)\].:]?", re.IGNORECASE)
_LETTER_TEXT = re.compile(rf"{_CHOICE_WORD}(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Z])[).:])\s*(\S.*)",
                          re.DOTALL)  # fmt: skip
_NAME = re.compile(
    r"(\\?[a-zA-Z]+(?:_\{?\w{1,8}\}?)?'{0,2}(?:\s*\([a-zA-Z0-9, ]{1,12}\))?)\s*"
    r"(?<![<>!])=(?!=)\s*(.+)",
    re.DOTALL,
)
_APPROXIMATELY = re.compile(r"^(?:\\approx|\\sim|≈|~|=|about|approximately|roughly)\s*(?=\S)", re.I)
# fmt: off
_FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "exp", "sqrt", "pi", "max", "min", "mod", "gcd", "lcm", "inf", "infinity", "det",
    "dim", "deg", "oo", "theta", "alpha", "beta", "gamma", "lambda", "sigma", "delta", "and", "or",
})
# fmt: on
# Times of day and ratios are compared as they are written.
_COLONS = re.compile(r"\d+(?:\s*:\s*\d+)+")
_RUNS = re.compile(r"[^\W\d_]{2,}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_MATHEMATICAL = re.compile(r"[\d\\^_+*/=<>|]|(?<=[\w)]) ?- ?(?=[\w(])|[(\[].*[)\]]")
_UNIT_TAIL = re.compile(r"(.*[\d})a-z])\s+((?:[a-zA-Z°%]|\^\s*\{?\d\}?|[/ ])+)", re.DOTALL)
MAX_DEPTH = 6


@lru_cache(8192)
def form_of(answer: str, kind: Kind = "auto") -> Form:
    """What an answer says, by the kind that it is to be of. Never raises."""
    if kind in ("json", "auto"):
        stripped = answer.strip()
        is_object = "{" in stripped and '"' in stripped and stripped[:1] in "{[`"
        if (kind == "json" or is_object) and (value := json_value(stripped)) is not None:
            return Json(value)
    text = tidy(answer)
    if kind in ("text", "json"):
        return Words(words_of(text) or text, text)
    return _form(text, kind, 0)


def _form(text: str, kind: Kind, depth: int) -> Form:
    if text[:1] in "\\≈~=aAr":
        text = _APPROXIMATELY.sub("", text)
    if (number := number_of(text)) is not None:
        return number
    if kind != "math" and (choice := _choice(text)) is not None:
        return choice
    if kind == "auto" and (truth := truth_of(text)) is not None:
        return Truth(truth, words_of(text) or text)
    if _COLONS.fullmatch(text):
        return Words(re.sub(r"\s", "", text), text)
    if depth < MAX_DEPTH and (parts := parts_of(text)) is not None:
        # A comma between words is part of a text.
        items = tuple(_form(tidy(part), kind, depth + 1) for part in parts.items)
        if parts.kind != "bare" or kind == "math" or not all(isinstance(i, Words) for i in items):
            return Listing(parts.kind, items, parts.brackets, text)
    if depth < MAX_DEPTH and (named := _NAME.fullmatch(text)) is not None:
        # Of "x = 3 + 4 = 7" the last.
        last = re.split(r"(?<![<>!=])=(?!=)", named[2])[-1].strip()
        name = re.sub(r"\s", "", named[1])
        if last and (len(name) <= 12 or not name.isalpha()):
            return Equation(name, _form(tidy(last), kind, depth + 1), text)
    if kind == "math" or is_formula(text):
        return _formula(text)
    return Words(words_of(text) or text, text)


def is_formula(text: str) -> bool:
    """Whether it holds mathematics and no words beside names of functions."""
    rest = _COMMAND.sub(" ", text)
    if not all(run.lower() in _FUNCTIONS or len(run) < 3 for run in _RUNS.findall(rest)):
        found = _UNIT_TAIL.fullmatch(text)
        return found is not None and unit_of(found[2]).known and is_formula(found[1])
    return _MATHEMATICAL.search(text) is not None and rest.isascii()


def _formula(text: str) -> Formula:
    found = _UNIT_TAIL.fullmatch(text)
    if found and len(found[2].strip()) > 1 and (unit := unit_of(found[2])).known:
        return Formula(found[1].strip(), unit)
    if text.endswith("°"):
        return Formula(text[:-1].strip(), unit_of("°"))
    return Formula(text)


def _choice(text: str) -> Choice | None:
    if len(text) > 400:
        return None
    if letter := _LETTER.fullmatch(text):
        return Choice(letter[1])
    if found := _LETTER_TEXT.fullmatch(text):
        return Choice(found[1] or found[2], words_of(tidy(found[3])))
    return None
