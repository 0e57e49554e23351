"""Formulas as the processes are given them: in LaTeX, and none that could take too long."""

import re

_FUNCTIONS = ("arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sin", "cos", "tan", "cot",
              "sec", "csc", "log", "ln", "exp", "min", "max", "gcd", "det")  # fmt: skip
_SYMBOLS = ("pi", "theta", "alpha", "beta", "gamma", "lambda", "sigma", "delta", "infty")
_NAMES = re.compile(rf"(?<![\\a-zA-Z])({'|'.join((*_FUNCTIONS, *_SYMBOLS))})(?![a-zA-Z])")
_INFINITY = re.compile(r"(?<![\\a-zA-Z])(?:infinity|inf|oo)(?![a-zA-Z])", re.IGNORECASE)
_ROOT = re.compile(r"\\?(?<![a-zA-Z])sqrt\s*\(")
_POWER = re.compile(r"\^\s*(-?\d{2,}|-\d)")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER_SLASH = re.compile(r"(?<![\w.}^])(\d+)\s*/\s*(\d+)(?![\w.])")


def to_latex(formula: str) -> str:
    """LaTeX stays LaTeX."""
    text = formula.replace("**", "^").replace(r"\log_e", r"\ln").replace(r"\log_{e}", r"\ln")
    text = re.sub(r"(?<!\\)\*", r" \\cdot ", text)
    text = _INFINITY.sub(r"\\infty ", text)
    text = _NAMES.sub(r"\\\1 ", text)
    text = _roots(text)
    text = _POWER.sub(r"^{\1}", text)
    text = _NUMBER_SLASH.sub(r"\\frac{\1}{\2}", text)
    return _GROUPED.sub("", _powers(text))


_LETTER = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]+")


def distinct(one: str, other: str) -> tuple[str, str]:
    """Two formulas in which M and m stay two names: math-verify reads both as m."""
    letters = [set("".join(_LETTER.findall(latex))) for latex in (one, other)]
    mixed = {letter for each in letters for letter in each if letter.swapcase() in each}
    for letter in sorted(letter for letter in mixed if letter.isupper()):
        subscripted = re.compile(rf"(?<!\\)(?<!\\[a-zA-Z]){letter}(?![_{{])")
        one, other = (subscripted.sub(rf"{letter}_{{99}} ", latex) for latex in (one, other))
    return one, other


def _roots(text: str) -> str:
    """`sqrt(...)` as `\\sqrt{...}`, brackets matched."""
    for _ in range(16):
        found = _ROOT.search(text)
        if found is None or (end := _closing(text, found.end())) is None:
            break
        text = f"{text[: found.start()]}\\sqrt{{{text[found.end() : end]}}}{text[end + 1 :]}"
    return text


def _powers(text: str) -> str:
    """`^(...)` as `^{...}`."""
    at = 0
    while (at := text.find("^(", at)) >= 0 and (end := _closing(text, at + 2)) is not None:
        text = f"{text[:at]}^{{{text[at + 2 : end]}}}{text[end + 1 :]}"
        at += 1
    return text


def _closing(text: str, at: int) -> int | None:
    depth = 1
    for place in range(at, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place
    return None


MAX_FORMULA = 600
MAX_NESTED = 24
MAX_EXPONENT = 2000
_TOWER = re.compile(r"\^\s*-?\d+\s*\^|\^\s*\{\s*-?\d+\s*\}\s*\^|\^\s*[{(]\s*-?\d+\s*\^")
_EXPONENT = re.compile(r"\^\s*[{(]?\s*-?(\d+)")
_DIGITS = re.compile(r"\d{61}")
_FACTORIAL = re.compile(r"(\d{4,})\s*!|!\s*!|!\s*\)\s*!|\([^()]*(?:\d{4}|\^)[^()]*\)\s*!")
_CODE = re.compile(r"__|\b(?:import|eval|exec|lambda|open|system|subprocess)\b")


def is_hostile(latex: str) -> bool:
    """Whether comparing it would take too long or is no mathematics; linear in its length."""
    if len(latex) > MAX_FORMULA or _DIGITS.search(latex) or _TOWER.search(latex):
        return True
    if _FACTORIAL.search(latex) or _CODE.search(latex) or "\0" in latex:
        return True
    if any(len(found) > 4 or int(found) > MAX_EXPONENT for found in _EXPONENT.findall(latex)):
        return True
    depth = 0
    for letter in latex:
        depth += (letter in "{([") - (letter in "})]")
        if depth > MAX_NESTED:
            return True
    return False
