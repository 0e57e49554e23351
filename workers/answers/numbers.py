"""Numbers as people and models write them: groups, fractions, percent, money, powers of ten."""

import re
from dataclasses import dataclass, field
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
    unit_words: str = field(default="", compare=False)

    @property
    def size(self) -> Fraction:
        """The value in the base unit of its kind."""
        return self.value * self.unit.size


_DECIMAL = (
    r"(?:\d{1,3}(?:\.\d{3})+,\d{1,9}(?!\d)|\d{1,3}(?:\.\d{3}){2,}(?![\d.])|"
    r"\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)(?:\.\d+)?|"
    r"\d{1,3}(?:[ '_]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
)
_SIGN = r"[-+]?\s*"
_CURRENCY = re.escape(CURRENCY_SIGNS)
_CODES = "USD|EUR|GBP|JPY|INR|CNY|CHF|KRW|RUB|CAD|AUD|BRL|MXN|SEK|PLN|TRY|Rs\\.?"
_TEN = r"10\s*(?:\^|\*\*)\s*(?:\{\s*([-+]?\d{1,4})\s*\}|\(\s*([-+]?\d{1,4})\s*\)|([-+]?\d{1,4}))"
_TIMES = r"\s*(?:\\times|\\cdot|[*x])\s*"
_SHAPE = re.compile(
    rf"(?P<sign>{_SIGN})(?P<money>(?:US\s?|[ACR])?[{_CURRENCY}]|(?:{_CODES})(?=[\s\d]))?\s*"
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
_MODULO = re.compile(r"(?:\\pmod|\\bmod|\\mod|\(?\s*mod)\s*\{?\s*(\d{1,9}|[a-z])\s*\}?\s*\)?")
# "5 ft 6 in", "2 hours and 30 minutes".
_MEASURE = re.compile(r"(\d+(?:\.\d+)?)\s?([^\W\d_]+)")
_COMPOUND = re.compile(rf"{_MEASURE.pattern}(?:,?\s+(?:and\s+)?{_MEASURE.pattern}){{1,2}}")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_MINUS = re.compile(r"(?:minus|negative)\s+(?=\S)", re.IGNORECASE)
# Behind a number these are factors, no unit.
_NO_UNITS = frozenset({
    "pi", "sin", "cos", "tan", "log", "ln", "exp", "sqrt", "theta", "mod", "and", "or", "to", "xy",
    "yz", "xz", "ab", "bc", "ac", "mn", "pq", "choose",
})  # fmt: skip
_SCALES = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "mn": 10**6, "b": 10**9,
           "bn": 10**9, "billion": 10**9, "trillion": 10**12, "万": 10**4, "億": 10**8, "亿": 10**8,
           "만": 10**4, "억": 10**8, "hundred": 100, "dozen": 12, "mio": 10**6, "mrd": 10**9,
           "millionen": 10**6, "milliarden": 10**9, "millones": 10**6, "millions": 10**6,
           "миллионов": 10**6, "milliards": 10**9, "тысяч": 10**3}  # fmt: skip
_SCALE = re.compile(
    r"(thousand|millions?|millionen|milliarden|millones|milliards|миллионов|тысяч|billion|trillion|"
    r"hundred|dozen|mn|bn|mio|mrd|[kmb])\b\.?\s*(.*)|([万億亿만억])(.*)",
    re.DOTALL | re.IGNORECASE,
)
# Without a currency a letter may be a unit, or a variable.
_SPELT_SCALE = re.compile(
    r"(thousand|millions?|millionen|milliarden|millones|milliards|миллионов|тысяч|billion|trillion|"
    r"hundred|dozen|mio|mrd)\b\.?\s*(.*)|([万億亿만억])(.*)",
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
_UNIT_WORDS = re.compile(
    rf"(?:[^\W\d_]|[°%¢{_CURRENCY}./ '*()-]|\\(?:cdot|times|Omega)\b|"
    r"\^\s*\{?\s*-?[1-4]\s*\}?|[a-z][23]\b)+"
)
# "20,00 €": only with a unit behind it, or it could be a list.
_COMMA = re.compile(
    rf"([-+]?\s*[{_CURRENCY}]?\s*\d{{1,3}}(?:[. ]?\d{{3}})*),(\d{{1,2}})(?!\d)(.*)", re.DOTALL
)


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
    if _HEXADECIMAL.fullmatch(text):
        return Number(Fraction(int(text, 16)), NONE, None)
    if minus := _MINUS.match(text):
        text = "-" + text[minus.end() :]
    shape = _SHAPE.fullmatch(text)
    number = None if shape is None else _shaped(shape)
    if number is None and (several := _COMPOUND.fullmatch(text)) is not None:
        return _sum_of(_MEASURE.findall(several[0]))
    if number is None and (comma := _COMMA.fullmatch(text)) is not None:
        unit = unit_of(comma[3])
        money = any(sign in comma[1] for sign in CURRENCY_SIGNS)
        if (unit.known and unit != NONE) or (money and unit == NONE):
            whole = comma[1].replace(" ", "").replace(".", "")
            return number_of(f"{whole}.{comma[2]}{comma[3]}")
    return number


def _shaped(shape: re.Match[str]) -> Number | None:
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
    if written.count(".") > 1:
        written = written.replace(".", "")
    plain = re.sub(r"[, '_]", "", written).rstrip(".")
    _, _, fraction = plain.partition(".")
    return Fraction(plain or "0"), len(fraction)


def _with_unit(value: Fraction, places: int | None, money: str | None, tail: str) -> Number | None:
    """None when what follows the number is no unit: more of a formula, say."""
    words = tail.strip()
    if found := (_SCALE if money else _SPELT_SCALE).fullmatch(words):
        scale, words = found[1] or found[3], (found[2] or found[4] or "").strip()
        value, places = value * _SCALES[scale.lower()], None
    if _ORDINAL.fullmatch(words):
        words = ""
    if modulo := _MODULO.fullmatch(words):
        return Number(value, Unit(f"mod {modulo[1]}", known=False), places, f"mod {modulo[1]}")
    if money:
        unit = unit_of(money.strip())
        return Number(value, unit, places, money) if unit_of(words) in (NONE, unit) else None
    if not words:
        return Number(value, NONE, places)
    if len(words) > 60 or not _UNIT_WORDS.fullmatch(words):
        return None
    unit = unit_of(words)
    if unit.kind == "percent":
        return Number(value, PERCENT, places, "%")
    # "5m", "2x", "3ab" without a space may be products; "5cm" and "5 m" are not.
    attached = not tail[0].isspace()
    letters = sum(letter.isalpha() for letter in words)
    if attached and not words.isascii():
        letters = 3
    if unit.known:
        return (
            None
            if attached and letters == 1 and words.isalpha()
            else Number(value, unit, places, words)
        )
    wordlike = re.match(r"[^\W\d_]{2,}|[\u3041-\ud7a3]", words) is not None and not set(
        words
    ) & set("/^*()\\")
    first = re.split(r"[\s.'-]", words, maxsplit=1)[0].lower()
    if not wordlike or first in _NO_UNITS or (attached and words.isascii()):
        return None
    return Number(value, unit, places, words)


def _sum_of(measures: list[tuple[str, str]]) -> Number | None:
    """Of units of one kind, the larger ones first; in the last unit."""
    units = [unit_of(words) for _, words in measures]
    sizes = [unit.size for unit in units]
    if len({unit.kind for unit in units}) > 1 or not units[0].known or sizes != sorted(sizes)[::-1]:
        return None
    total = sum((Fraction(n) * unit.size for (n, _), unit in zip(measures, units, strict=True)))
    return Number(total / sizes[-1], units[-1], None, measures[-1][1])


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
    return _with_unit(Fraction(value), 0, None, f" {rest}") if not rest or _known(rest) else None


def _known(words: str) -> bool:
    return unit_of(words).known or words.partition(" ")[0] in _SCALES
