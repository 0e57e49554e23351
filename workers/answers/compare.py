"""Whether two forms say the same; formulas are left to a given comparison."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from workers.answers.forms import Choice, Equation, Form, Formula, Json, Listing, Truth, Words
from workers.answers.numbers import Number
from workers.answers.units import NONE, Unit

Leaf = Callable[[str, str], bool | None]
"""Compares two formulas in LaTeX; None: not known (yet)."""
MIN_PLACES = 6
"""A decimal number of at least so many places equals the fraction that it is rounded from."""
MAX_UNORDERED = 24
POUND = Fraction("453.59237")
# A space between two digits, or between a command and a letter, is needed; so is that of "1, 234".
_SPACE = re.compile(r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])|(\d)\s+(?=\d)|(\d,)\s+(?=\d{3}(?!\d))|\s+")
_SINGLE = re.compile(r"([_^])\{(\w)\}")


def same(one: Form, other: Form, leaf: Leaf) -> bool | None:
    """Symmetric. None where it depends on formulas that `leaf` does not know."""
    if one == other:
        return True
    # By the order of the kinds below, so that each pair is written once.
    first, second = sorted((one, other), key=_rank)
    match first, second:
        case Number(), Number():
            return same_numbers(first, second)
        case Number(), Listing(kind="bare", items=(Number(), Number())):
            return _decimal_comma(first, second)
        case ((Number() | Choice() | Formula() | Listing() | Words() | Truth()), Equation()):
            if isinstance(first, Formula) and "=" in first.latex:
                return _formulas(first.latex, second.latex, leaf)
            return same(first, second.right, leaf)
        case Equation(), Equation():
            if _same_name(first.name, second.name):
                return same(first.right, second.right, leaf)
            if isinstance(first.right, Number) and isinstance(second.right, Number):
                return False
            if first.name.replace("'", "") == second.name.replace("'", ""):
                return False
            return _formulas(first.latex, second.latex, leaf)
        case Number(), Formula():
            if not _compatible(first.unit, second.unit):
                return False
            return _formulas(latex_of(first), second.latex, leaf)
        case Formula(), Formula():
            if not _compatible(first.unit, second.unit):
                return False
            if NONE not in (first.unit, second.unit) and first.unit.size != second.unit.size:
                return False
            return _formulas(first.latex, second.latex, leaf)
        case Choice(), Choice():
            texts = set(first.text.split()), set(second.text.split())
            # "A. Einstein" is not "A. Newton".
            related = not all(texts) or bool(texts[0] & texts[1])
            return related and first.letter.casefold() == second.letter.casefold()
        case Choice(), Words():
            return bool(first.text) and first.text == second.words
        case Choice(), Number() if first.text:
            return first.text == plain_number(second)
        case Choice(), Formula() if not first.text:
            return _formulas(first.letter, second.latex, leaf)
        case Truth(), Truth():
            return first.value == second.value
        case Truth(), Words():
            return first.words == second.words
        case Listing(), Listing():
            return _listings(first, second, leaf)
        case Formula(), Listing():
            # "1 < x < 2" is an interval too, and a product may be a matrix.
            return _formulas(first.latex, second.latex, leaf)
        case Formula(), Words():
            # "xy" looks like a word, and is a product beside a formula.
            if second.raw.isalpha() and len(second.raw) <= 3 and second.raw.isascii():
                return _formulas(first.latex, second.raw, leaf)
            return squeezed(first.latex) == squeezed(second.raw)
        case Json(), Json():
            return first.value == second.value
        case Words(), Words():
            return first.words == second.words
    return False


_RANKS = (Choice, Truth, Number, Formula, Listing, Json, Words, Equation)


def _rank(form: Form) -> int:
    return _RANKS.index(type(form))


def same_numbers(one: Number, other: Number) -> bool:
    """A unit counts where both have one. 28 % is 0.28, and 28 where it is asked in percent."""
    if one.unit == other.unit:
        return _close(one.value, one.places, other.value, other.places)
    kinds = {one.unit.kind, other.unit.kind}
    if "percent" in kinds and "" in kinds:
        percent, plain = (one, other) if one.unit.kind == "percent" else (other, one)
        return percent.value == plain.value or percent.size == plain.value
    if NONE in (one.unit, other.unit):
        return _close(one.value, one.places, other.value, other.places)
    if not _compatible(one.unit, other.unit):
        return False
    if one.unit.known and other.unit.known and one.unit.kind == other.unit.kind:
        return one.size == other.size
    return one.value == other.value


def _close(one: Fraction, places: int | None, other: Fraction, other_places: int | None) -> bool:
    if one == other:
        return True
    if places is not None and other_places is None:
        return _rounded(one, places, other)
    if places is None and other_places is not None:
        return _rounded(other, other_places, one)
    return False


def _rounded(decimal: Fraction, places: int, exact: Fraction) -> bool:
    """Whether the decimal number is the other one, cut or rounded."""
    return places >= MIN_PLACES and abs(decimal - exact) < Fraction(1, 10**places)


def _compatible(one: Unit, other: Unit) -> bool:
    """Whether two units measure the same; words that are no unit may say more or less."""
    if NONE in (one, other) or one.kind == other.kind:
        return True
    kinds = {one.kind, other.kind}
    # The words for two units.
    if kinds == {"GBP", "mass"}:
        return POUND in (one.size, other.size)
    if "YEN OR YUAN" in kinds:
        return bool(kinds & {"JPY", "CNY"})
    if one.known or other.known:
        return False
    words, others = one.kind.split(), other.kind.split()
    return words[-1] == others[-1] and (set(words) <= set(others) or set(others) <= set(words))


_COMMA = re.compile(r"([-+]?\d+),(\d+)(?!\d)(.*)", re.DOTALL)


def _decimal_comma(number: Number, listing: Listing) -> bool:
    """Whether 3.14 was written as "3,14": no number is a list of two."""
    found = _COMMA.fullmatch(listing.latex)
    if found is None or not isinstance(listing.items[1], Number):
        return False
    return _compatible(number.unit, listing.items[1].unit) and number.value == Fraction(
        f"{found[1]}.{found[2]}"
    )


def _listings(one: Listing, other: Listing, leaf: Leaf) -> bool | None:
    kinds = {one.kind, other.kind}
    if kinds == {"union"}:
        matched = len(one.items) == len(other.items) and _matched(one.items, other.items, leaf)
        return True if matched else leaf(one.latex, other.latex)
    if "union" in kinds:
        return leaf(one.latex, other.latex) if "tuple" in kinds else False
    if len(one.items) != len(other.items):
        # {1, 1, 2} is {1, 2}.
        return leaf(one.latex, other.latex) if kinds == {"set"} else False
    if kinds == {"bare", "tuple"}:
        one, other = _by_name(one), _by_name(other)
    # "[1, 2]" and "(1, 2)" may be intervals; of three items both are points.
    intervals = len(one.items) == 2 or {one.brackets, other.brackets} != {"()", "[]"}
    if kinds == {"tuple"} and one.brackets != other.brackets and intervals:
        return False
    if kinds in ({"set", "tuple"}, {"set", "matrix"}):
        return False
    letters = all(isinstance(item, Choice) for item in (*one.items, *other.items))
    if kinds == {"bare"} and letters:
        # A ranking, say. Where choices are known, `equality` has made sets of these.
        return one.items == other.items
    if kinds <= {"bare", "set"} and len(one.items) <= MAX_UNORDERED:
        return _matched(one.items, other.items, leaf)
    pairs = zip(one.items, other.items, strict=True)
    results = [same(item, beside, leaf) for item, beside in pairs]
    return False if False in results else None if None in results else True


def _by_name(listing: Listing) -> Listing:
    """Values of different names in the order of these: "y = 2, x = 1" is (1, 2)."""
    named = [item for item in listing.items if isinstance(item, Equation)]
    if len({item.name for item in named}) < len(listing.items):
        return listing
    named.sort(key=lambda item: item.name)
    return Listing("tuple", tuple(item.right for item in named), "()", listing.latex)


def _matched(one: Sequence[Form], other: Sequence[Form], leaf: Leaf) -> bool | None:
    """Whether each item has one of its own on the other side, in any order."""
    left, unknown = list(other), False
    for item in one:
        results = [same(item, candidate, leaf) for candidate in left]
        if True in results:
            left.pop(results.index(True))
        elif None in results:
            unknown = True
        else:
            return False
    return None if unknown else True


def _same_name(one: str, other: str) -> bool:
    """f(x) is y, f'(x) is dy/dx, and x_1 and x_2 are solutions for x."""
    if one == other or one.partition("_")[0] == other.partition("_")[0]:
        return True
    names = {re.sub(r"^[a-z]('*)\(x\)$", r"y\1", name) for name in (one, other)}
    names = {re.sub(r"^([a-z])\(n\)$", r"\1_n", name) for name in names}
    return len(names) == 1 or names == {"y'", r"\frac{dy}{dx}"}


_BRACED = re.compile(r"(?<=[_^])\{[^{}]*\}")
_EQUALS = re.compile(r"(?<![<>!=\\])=(?!=)")


def _formulas(one: str, other: str, leaf: Leaf) -> bool | None:
    if squeezed(one) == squeezed(other):
        return True
    # "2x + z = 1" is not 1.
    sides = [_EQUALS.split(_BRACED.sub("", formula)) for formula in (one, other)]
    if (len(sides[0]) > 1) != (len(sides[1]) > 1):
        left = max(sides, key=len)[0].strip()
        if not re.fullmatch(r"\\?[a-zA-Z]+(?:_\{?\w+\}?)?(?:\s*\([^()]*\))?|[^a-zA-Z]*", left):
            return False
    return leaf(one, other)


def squeezed(latex: str) -> str:
    """A formula without needless spaces and without braces round single characters."""
    kept = (
        _SPACE.sub(lambda m: f"{m[m.lastindex]} " if m.lastindex else "", latex.strip())
        .replace("**", "^")
        .replace(r"\cdot", "*")
        .replace(r"\times", "*")
    )
    return _SINGLE.sub(r"\1\2", kept) if "{" in kept else kept


def latex_of(number: Number) -> str:
    if number.value.denominator == 1:
        return str(number.value.numerator)
    return rf"\frac{{{number.value.numerator}}}{{{number.value.denominator}}}"


def plain_number(number: Number) -> str:
    """A number in one spelling, without its unit: a decimal one if it ends, else a fraction."""
    value, places = number.value, 0
    rest = value.denominator
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for factor in (2, 5):
        while rest % factor == 0:
            rest, places = rest // factor, places + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    if value.denominator == 1:
        return str(value.numerator)
    whole = abs(value.numerator) * 10**places // value.denominator
    digits = str(whole).rjust(places + 1, "0")
    decimal = f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")
    return f"-{decimal}" if value < 0 else decimal
