"""Formulas that no process is asked about: too long, nested too deep, or powers that explode."""

import re

MAX_FORMULA = 600
MAX_NESTED = 24
MAX_EXPONENT = 2000
_TOWER = re.compile(r"\^\s*[{(]?\s*-?\d+\s*[})]?\s*\^|\^\s*[{(]\s*-?\d+\s*\^")
_EXPONENT = re.compile(r"\^\s*[{(]?\s*-?(\d+)")
_DIGITS = re.compile(r"\d{61}")
_FACTORIAL = re.compile(r"(\d{4,})\s*!|!\s*!|!\s*\)\s*!")
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
