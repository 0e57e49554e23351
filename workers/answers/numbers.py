"""Numbers as people and models write them: groups, fractions, percent, money, powers of ten."""

import re
from dataclasses import dataclass
from fractions import Fraction

from workers.answers.units import CURRENCY_SIGNS, NONE, PERCENT, Unit, unit_of

MAX_DIGITS = 200
"""Longer numbers are compared as text."""
MAX_EXPONENT = 400


@dataclass(frozen=True, slots=True)
class Number:
    """`value` is in `unit`, not in its base unit."""

    value: Fraction
    unit: Unit = NONE
    places: int | None = None
    """Digits after the decimal point; None: it is no decimal number."""

    @property
    def size(self) -> Fraction:
        """The value in the base unit of its kind."""
        return self.value * self.unit.size


_DECIMAL = (
    r"(?:\d{1,3}(?:\.\d{3})+,\d{1,9}(?!\d)|\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)(?:\.\d+)?|"
    r"\d{1,3}(?:[ '_]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
)
_SIGN = r"[-+]?\s*"
_CURRENCY = re.escape(CURRENCY_SIGNS)
_TEN = r"10\s*(?:\^|\*\*)\s*(?:\{\s*([-+]?\d{1,4})\s*\}|\(\s*([-+]?\d{1,4})\s*\)|([-+]?\d{1,4}))"
_TIMES = r"\s*(?:\\times|\\cdot|[*x])\s*"
_SHAPE = re.compile(
    rf"(?P<sign>{_SIGN})(?P<money>(?:US\s?)?[{_CURRENCY}]|(?:USD|EUR|GBP|JPY|INR|CNY)(?=[\s\d]))?\s*"
    rf"(?P<sign2>{_SIGN})(?:"
    r"(?P<repeat>\d*\.(?P<lead>\d*)\\overline\s*\{(?P<cycle>\d+)\})|"
    rf"(?:(?P<whole>\d+)(?:\s+|\s*(?=\\frac)))?\\frac\s*\{{\s*(?P<above>-?{_DECIMAL})\s*\}}"
    rf"\s*\{{\s*(?P<below>-?{_DECIMAL})\s*\}}|"
    rf"(?:(?P<whole2>\d+)\s+(?=\d+\s*/))?(?P<above2>{_DECIMAL})\s*/\s*"
    rf"(?P<below2>\+?-?{_DECIMAL})|"
    rf"{_TEN}(?![\d.])|"
    rf"(?P<decimal>{_DECIMAL})(?:[eE](?P<e>[-+]?\d{{1,4}})(?![\w])|{_TIMES}{_TEN})?"
    r")(?P<tail>.*)",
    re.DOTALL,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)")
_SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "mn": 6, "b": 9, "bn": 9, "billion": 9,
           "trillion": 12, "万": 4, "億": 8, "亿": 8, "만": 4, "억": 8, "hundred": 2}  # fmt: skip
_SCALE = re.compile(
    r"(thousand|million|billion|trillion|hundred|mn|bn|[kmb]|[万億亿만억])\b\.?\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)
# Without a currency a letter may be a unit, or a variable.
_SPELT_SCALE = re.compile(
    r"(thousand|million|billion|trillion|hundred|[万億亿만억])\b\.?\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)
_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_LONG = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
# A tail of words or of units with powers, no further numbers.
_UNIT_WORDS = re.compile(r"(?:[^\W\d_]|[°%¢$€£¥₹₩₽./ '-]|\^\s*\{?\s*-?[1-4]\s*\}?|[a-z][23]\b)+")


def number_of(text: str) -> Number | None:
    """The number that a tidy answer is, with its unit; None when it is anything else.

    "2 1/2", `2\\frac{1}{2}`, "$1,234.50", "28 %", "3 \\times 10^{8}", "5 cm", "1.2 million",
    "0.\\overline{3}", "1.234,50 €", "seven".
    """
    if len(text) > 4 * MAX_DIGITS or _LONG.search(text):
        return None
    if not any(letter.isdigit() for letter in text):
        return _spelt_out(text)
    text = _without_brackets(text)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        return None
    groups = shape.groupdict()
    exponents = [group for group in (shape[i] for i in _EXPONENTS) if group]
    exponent = int(exponents[0]) if exponents else int(groups["e"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    try:
        value, places = _value(groups)
    except ZeroDivisionError:
        return None
    if exponent or exponents:
        value *= Fraction(10) ** exponent
        places = None if places is None else max(0, places - exponent)
    if (groups["sign"] + groups["sign2"]).count("-") % 2:
        value = -value
    return _with_unit(value, places, groups["money"], groups["tail"])


_EXPONENTS = [at for at in range(1, _SHAPE.groups + 1) if at not in _SHAPE.groupindex.values()]


def _value(groups: dict[str, str | None]) -> tuple[Fraction, int | None]:
    if groups["cycle"] is not None:
        lead, cycle = groups["lead"] or "", groups["cycle"]
        whole = Fraction((groups["repeat"] or "").split(".")[0] or "0")
        part = Fraction(
            int(lead + cycle) - int(lead or "0"), (10 ** len(cycle) - 1) * 10 ** len(lead)
        )
        return whole + part, None
    above, below = groups["above"] or groups["above2"], groups["below"] or groups["below2"]
    if above is not None and below is not None:
        fraction = _decimal(above)[0] / _decimal(below)[0]
        return fraction + int(groups["whole"] or groups["whole2"] or 0), None
    if groups["decimal"] is None:
        return Fraction(1), 0
    return _decimal(groups["decimal"])


def _decimal(written: str) -> tuple[Fraction, int]:
    if "," in written and "." in written and written.rindex(",") > written.rindex("."):
        written = written.replace(".", "").replace(",", ".")
    plain = re.sub(r"[, '_]", "", written).rstrip(".")
    _, _, fraction = plain.partition(".")
    return Fraction(plain or "0"), len(fraction)


def _with_unit(value: Fraction, places: int | None, money: str | None, tail: str) -> Number | None:
    """None when what follows the number is no unit: more of a formula, say."""
    words = tail.strip()
    if found := (_SCALE if money else _SPELT_SCALE).fullmatch(words):
        value, words, places = value * 10 ** _SCALES[found[1].lower()], found[2].strip(), None
    if _ORDINAL.fullmatch(words):
        words = ""
    if money:
        unit = unit_of(money.strip())
        return Number(value, unit, places) if unit_of(words) in (NONE, unit) else None
    if not words:
        return Number(value, NONE, places)
    if len(words) > 60 or not _UNIT_WORDS.fullmatch(words):
        return None
    unit = unit_of(words)
    if unit.kind == "percent":
        return Number(value, PERCENT, places)
    # "5m", "2x", "3ab" without a space may be products; "5cm" and "5 m" are not.
    attached = not tail[0].isspace()
    letters = sum(letter.isalpha() for letter in words)
    if unit.known:
        return (
            None if attached and letters == 1 and words.isalpha() else Number(value, unit, places)
        )
    wordlike = re.match(r"[^\W\d_]{2,}", words) is not None and "/" not in words
    if not wordlike or (attached and letters < 3):
        return None
    return Number(value, unit, places)


def _without_brackets(text: str) -> str:
    for _ in range(3):
        if (
            len(text) > 2
            and text[0] + text[-1] in ("()", "{}")
            and not set(text[1:-1]) & set("(){}")
        ):
            text = text[1:-1].strip()
    return text


def _spelt_out(text: str) -> Number | None:
    """English numbers below a hundred in words, and a unit behind them."""
    if not text.isascii() or len(text) > 60:
        return None
    first, _, rest = text.lower().partition(" ")
    tens, dash, ones = first.partition("-")
    if not dash and first in _TENS and (word := rest.partition(" "))[0] in _SMALL:
        tens, ones, rest = first, word[0], word[2]
    if tens in _TENS and (not ones or 0 < _SMALL.get(ones, 0) < 10):
        value = _TENS[tens] + _SMALL.get(ones, 0)
    elif first in _SMALL:
        value = _SMALL[first]
    else:
        return None
    if rest and not unit_of(rest).known:
        return None
    return Number(Fraction(value), unit_of(rest), 0)
