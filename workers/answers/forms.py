"""What an answer says: a number, a choice, yes or no, a list, a formula, JSON or words."""

import re
from dataclasses import dataclass
from functools import lru_cache

from policies.answer_spec import Kind
from workers.answers.json_answer import call_value, json_value
from workers.answers.lists import PartsKind, interval_of, parts_of
from workers.answers.numbers import Number, number_of
from workers.answers.tidy import tidy
from workers.answers.units import NONE, Unit, unit_of
from workers.answers.words import fixed_of, truth_of, words_of


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
    """A name and what it equals, or the interval that it is in: "x = 5", "x > 5"."""

    name: str
    right: "Form"
    latex: str


@dataclass(frozen=True, slots=True)
class Listing:
    """`kind` "bare" stands without brackets: "1, 2", "1 or 2". Sets have no order.

    `brackets` are those of a tuple, a list or an interval, such as "[)".
    """

    kind: PartsKind
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
_LETTER_TEXT = re.compile(
    rf"{_CHOICE_WORD}(?:[(\[]\s*([A-Ja-j])\s*[)\]]|([A-J])[).:])\s*(?![A-Z]\.|[,;&])(\S.*)",
    re.DOTALL,
)
_LETTER_COMMA = re.compile(r"([A-J]),\s+([a-z]{2,}\s.*)", re.DOTALL)
_NAME = re.compile(
    r"(\\(?:angle|det)\b[^=+*/<>-]{1,30}|[PE]\s?[(\[][^=]{1,30}[)\]]|[A-Za-z]+(?: [a-z]+){1,2}|"
    r"\\?[a-zA-Z]+(?:_(?:\{\w{1,8}\}|\w{1,8}))?'{0,2}(?:\s*\([a-zA-Z0-9, ]{1,12}\))?|"
    r"\(\s*[a-z]\s*(?:,\s*[a-z]\s*)+\)|\\frac\{d[a-z]?\}\{d[a-z]\})\s*"
    r"(?:(?<![<>!])=(?!=)|\\equiv(?![a-zA-Z]))\s*(.+)",
    re.DOTALL,
)
_APPROXIMATELY = re.compile(
    r"^(?:\\(?:approx|sim|to|Rightarrow|implies|therefore)(?![a-zA-Z])|[≈~=⇒∴]|(?:about|approximately|"
    r"roughly|(?:in|by|around)(?=\s+[12]\d{3}$)))\s*(?=\S)|\s*\((?:approx|rounded|about)[^()]*\)$",
    re.IGNORECASE,
)
# fmt: off
_FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "exp", "sqrt", "pi", "max", "min", "mod", "gcd", "lcm", "inf", "infinity", "det",
    "dim", "deg", "oo", "theta", "alpha", "beta", "gamma", "lambda", "sigma", "delta", "and", "or",
})
# fmt: on
_INFINITY = re.compile(r"([-+]?)\s*(?:\\infty|infinity|inf|oo)", re.IGNORECASE)
# A chemical formula is no product.
_CHEMICAL = re.compile(
    r"(?=.*\d)(?:(?:A[lrgsu]|B[aerik]?|C[adelorsu]?|F[er]?|H[efg]?|I|K|Li|M[gno]|N[aei]?|O|P[btu]?|"
    r"S[bein]?|T[hi]|U|V|W|X[e]|Z[nr]|\(|\))(?:_?\d|_?\{\d+\})*)+(?:\^\{?\d?[-+]\}?)?"
)
_BASED = re.compile(r"(\w+)_\{?\s*(\d+|two|three|four|five|six|seven|eight|nine|ten|sixteen)\s*\}?")
# "6 * 7 = 42" is what is behind the last sign.
_SUM = re.compile(
    r"(?:[^a-zA-Z=<>\\,]|\\(?:times|cdot|frac|sqrt|div)(?![a-zA-Z]))*\d[^a-zA-Z=<>]*=[^<>]*[^=<>\s][^<>=]*\Z"
)
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
          "eight": "8", "nine": "9", "ten": "10", "sixteen": "16"}  # fmt: skip
_RUNS = re.compile(r"[^\W\d_]{2,}")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\*?\}|\\[a-zA-Z]+")
_REALS = frozenset({"all real numbers", "all reals", "all real values", "all real x"})
_MATHEMATICAL = re.compile(r"[\w)]!|[\d\\^_+*/=<>|]|(?<=[\w)]) ?- ?(?=[\w(])|[(\[].*[)\]]")
_UNIT_TAIL = re.compile(r"(?:[a-zA-Z°%µ$€£¥]|\\(?:cdot|Omega)|\^\s*\{?-?\d\}?|[/ ])+")
MAX_DEPTH = 6


@lru_cache(8192)
def form_of(answer: str, kind: Kind = "auto") -> Form:
    """What an answer says, by the kind that it is to be of. Never raises."""
    if kind in ("json", "auto"):
        stripped = answer.strip()
        is_object = "{" in stripped and '"' in stripped and stripped[:1] in "{[`"
        if (kind == "json" or is_object) and (value := json_value(stripped)) is not None:
            return Json(value)
        if "(" in stripped and (value := call_value(stripped)) is not None:
            return Json(value)
    text = tidy(answer)
    if kind in ("text", "json"):
        return Words(words_of(text) or text, text)
    return _form(text, kind, 0)


def _form(text: str, kind: Kind, depth: int) -> Form:
    if text[:1] in "\\≈~=⇒∴aArRiIbB" or text[-1:] == ")":
        text = _APPROXIMATELY.sub("", text)
    if kind != "math" and (fixed := fixed_of(text)) is not None:
        return Words(fixed, text)
    if (infinite := _INFINITY.fullmatch(text)) is not None:
        return Formula(("-" if infinite[1] == "-" else "") + r"\infty")
    if (number := number_of(text)) is not None:
        return number
    if text.lower().removeprefix("x is ") in _REALS:
        return Formula(r"\mathbb{R}")
    if kind != "math" and (choice := _choice(text)) is not None:
        return choice
    if kind == "auto" and (truth := truth_of(text)) is not None:
        return Truth(truth, words_of(text) or text)
    squeezed = re.sub(r"\s", "", text) if len(text) < 60 else ""
    if kind != "math" and _CHEMICAL.fullmatch(squeezed):
        return Words(re.sub(r"[_{}]", "", squeezed), text)
    if (based := _BASED.fullmatch(text)) and based[1].isalnum() and based[1][0].isdigit():
        return Words(f"{based[1]}_{_BASES.get(based[2], based[2])}".lower(), text)
    if depth < MAX_DEPTH and (interval := interval_of(text)) is not None:
        right = _form(interval[1], kind, depth + 1)
        return Equation(interval[0], right, text) if interval[0] else right
    if depth < MAX_DEPTH and (parts := parts_of(text)) is not None:
        # A comma between words is part of a text.
        items = tuple(_form(tidy(part), kind, depth + 1) for part in parts.items)
        if parts.kind != "bare" or kind == "math" or not all(isinstance(i, Words) for i in items):
            return Listing(parts.kind, items, parts.brackets, text)
    if _SUM.match(text) and depth < MAX_DEPTH:
        return _form(tidy(text.rpartition("=")[2]), kind, depth + 1)
    if depth < MAX_DEPTH and (named := _NAME.fullmatch(text)) is not None:
        # Of "x = 3 + 4 = 7" the last.
        last = re.split(r"(?<![<>!=])=(?!=)", named[2])[-1].strip()
        name = re.sub(r"\s", "", named[1])
        if last and not set(name) & set("<>"):
            return Equation(name, _form(tidy(last), kind, depth + 1), text)
    if kind == "math" or is_formula(text):
        return _formula(text)
    return Words(words_of(text) or text, text)


def is_formula(text: str) -> bool:
    """Whether it holds mathematics and no words beside names of functions."""
    rest = _COMMAND.sub(" ", text)
    if not all(run.lower() in _FUNCTIONS or len(run) < 3 for run in _RUNS.findall(rest)):
        found = _with_unit(text)
        return found is not None and is_formula(found[0])
    return _MATHEMATICAL.search(text) is not None and rest.isascii()


def _formula(text: str) -> Formula:
    if (found := _with_unit(text)) is not None and is_formula(found[0]):
        return Formula(*found)
    if text.endswith("°"):
        return Formula(text[:-1].strip(), unit_of("°"))
    return Formula(text)


def _with_unit(text: str) -> tuple[str, Unit] | None:
    """A formula and the unit behind it, of at least two characters."""
    for space in re.finditer(r"(?<=[\w})])\s+", text[-60:]):
        at = max(0, len(text) - 60)
        head, tail = text[: at + space.start()], text[at + space.end() :]
        if len(tail) > 1 and _UNIT_TAIL.fullmatch(tail) and (unit := unit_of(tail)).known:
            return head.strip(), unit
    return None


def _choice(text: str) -> Choice | None:
    if len(text) > 400:
        return None
    if letter := _LETTER.fullmatch(text):
        return Choice(letter[1])
    if found := _LETTER_COMMA.fullmatch(text):
        return Choice(found[1], words_of(tidy(found[2])))
    if found := _LETTER_TEXT.fullmatch(text):
        return Choice(found[1] or found[2], words_of(tidy(found[3])))
    return None
