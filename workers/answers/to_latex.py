"""Formulas as people type them, in LaTeX: sqrt(2), 2*pi, x^10, sin(x)."""

import re

_FUNCTIONS = ("arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sin", "cos", "tan", "cot",
              "sec", "csc", "log", "ln", "exp", "min", "max", "gcd", "det")  # fmt: skip
_SYMBOLS = ("pi", "theta", "alpha", "beta", "gamma", "lambda", "sigma", "delta", "infty")
_NAMES = re.compile(rf"(?<![\\a-zA-Z])({'|'.join((*_FUNCTIONS, *_SYMBOLS))})(?![a-zA-Z])")
_INFINITY = re.compile(r"(?<![\\a-zA-Z])(?:infinity|inf|oo)(?![a-zA-Z])", re.IGNORECASE)
_ROOT = re.compile(r"\\?(?<![a-zA-Z])sqrt\s*\(")
_POWER = re.compile(r"\^\s*(-?\d{2,}|-\d)")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER_SLASH = re.compile(r"(?<![\w.}])(\d+)\s*/\s*(\d+)(?![\w.])")


def to_latex(formula: str) -> str:
    """LaTeX stays LaTeX."""
    text = formula.replace("**", "^")
    text = re.sub(r"(?<!\\)\*", r" \\cdot ", text)
    text = _INFINITY.sub(r"\\infty ", text)
    text = _NAMES.sub(r"\\\1 ", text)
    text = _roots(text)
    text = _POWER.sub(r"^{\1}", text)
    text = _NUMBER_SLASH.sub(r"\\frac{\1}{\2}", text)
    return _GROUPED.sub("", _powers(text))


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
