"""Answers of several parts: tuples, sets, intervals, unions, matrices, "1 or 2", "\\pm 3"."""

import re
from typing import Literal, NamedTuple

MAX_ITEMS = 64


PartsKind = Literal["bare", "set", "tuple", "matrix", "union"]


class Parts(NamedTuple):
    """`brackets` as in "[)"; empty for a bare list, a set, a matrix and a union."""

    kind: PartsKind
    items: tuple[str, ...]
    brackets: str = ""


_MATRIX = re.compile(
    r"[(\[]?\s*\\begin\s*\{([pbB]?matrix|array|smallmatrix)\}(?:\s*\{[lcr| ]*\})?(.*)"
    r"\\end\s*\{\1\}\s*[)\]]?",
    re.DOTALL,
)
_LINES = re.compile(
    r"\\begin\s*\{(aligned|align\*?|gathered|cases|split)\}(.*)\\end\s*\{\1\}", re.DOTALL
)
_ROW = re.compile(r"\\\\|\\cr\b")
# One letter may be a variable: it is a word between numbers only.
_WORD = re.compile(
    r",?\s*(?<![\w\\])(?:and|or|und|oder|et|ou|и|или|和|或|と)(?!\w)\s*|"
    r"(?<=[\d)}\]$])\s+[yoe](?=\s+(?:[-\d({\[$\\]|[a-z]\s?=))\s+|\s*\\(?:lor|vee)(?![a-zA-Z])\s*"
)
_OR = re.compile(r"\s*(?:,?\s*\b(?:or|oder|ou|или)\b|\\(?:lor|vee|cup)(?![a-zA-Z])|或)\s*")
_CUP = re.compile(r"\s*\\cup(?![a-zA-Z])\s*|(?<=[)\]}])\s*(?:U|or)\s*(?=[(\[{])")
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])")
# ISO 31-11 and French schools: "]0, 1]" is "(0, 1]".
_OUTWARD = re.compile(r"([\[\]])([^\[\](){}]+[,;][^\[\](){}]+)([\[\]])")
_DIGITS_GROUPED = re.compile(r"[-+]?\$?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
_OPENING, _CLOSING = "([{", ")]}"


def parts_of(text: str) -> Parts | None:
    """The parts of a tidy answer, None where it is one thing. Braces and brackets are matched."""
    if lines := _LINES.fullmatch(text):
        stripped = [line.replace("&", "").strip(" ,") for line in _ROW.split(lines[2])]
        return Parts("bare", tuple(line for line in stripped if line))
    if matrix := _MATRIX.fullmatch(text):
        return _matrix(matrix[2])
    if len(text) < 100 and len(_PLUS_MINUS.findall(text)) == 1:
        signs = ("+", "-"), ("-", "+")
        both = (_PLUS_MINUS.sub(a, text).replace(r"\mp", b) for a, b in signs)
        return Parts("set", tuple(each.removeprefix("+").strip() for each in both))
    pieces = _CUP.split(text)
    if 1 < len(pieces) <= MAX_ITEMS and all(_encloses(piece) for piece in pieces):
        return Parts("union", tuple(pieces))
    if text[:1] + text[-1:] in ("][", "[[", "]]") and (turned := _OUTWARD.fullmatch(text)):
        text = f"{'[' if turned[1] == '[' else '('}{turned[2]}{']' if turned[3] == ']' else ')'}"
    if text[:2] == r"\{" and text[-2:] == r"\}":
        items = split(text[2:-2])
        return None if items is None else Parts("set", tuple(items))
    if len(text) > 1 and text[0] in _OPENING and text[-1] in ")]}" and _encloses(text):
        items = split(text[1:-1])
        if items is None or len(items) > MAX_ITEMS:
            return None
        if text[0] == "{":
            return Parts("set", tuple(items)) if text[-1] == "}" else None
        if len(items) > 1 or text[0] == "[" and text[-1] == "]":
            return Parts("tuple", tuple(items), text[0] + text[-1])
        return None
    items = split(text)
    if items is not None and 1 < len(items) <= MAX_ITEMS and all(item.strip() for item in items):
        return Parts("bare", tuple(items))
    return None


def split(text: str) -> list[str] | None:
    """Parts between commas, semicolons and "and" that are in no bracket; None: not balanced."""
    depth, begin, items = 0, 0, []
    separators = [";", ","] if ";" not in text else [";"]
    spans = {found.start(): found.end() for found in _WORD.finditer(text) if found.group().strip()}
    at = 0
    grouped = _DIGITS_GROUPED.fullmatch(text.strip()) is not None
    while at < len(text):
        letter = text[at]
        if letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif depth == 0 and at in spans:
            items.append(text[begin:at])
            at = begin = spans[at]
            continue
        elif depth == 0 and letter in separators and not grouped:
            # "1,234, 5" has two parts: a comma that groups digits has no space behind it.
            if not (letter == "," and ", " in text and _groups_digits(text, at)):
                items.append(text[begin:at])
                begin = at + 1
        elif letter == "\\" and at + 1 < len(text):
            if text[at + 1] in "{}":
                depth += 1 if text[at + 1] == "{" else -1
            at += 1
        at += 1
    if depth:
        return None
    items.append(text[begin:])
    stripped = [item.strip() for item in items]
    return [] if stripped == [""] else [item for item in stripped if item]


def _groups_digits(text: str, at: int) -> bool:
    behind = text[at + 1 : at + 5]
    return text[at - 1 : at].isdigit() and re.fullmatch(r"\d{3}\D?", behind) is not None


_NAME = r"[a-zA-Z]|\\[a-z]{2,8}"
_CONDITION = re.compile(
    rf"(?:(?P<low>[^<>=|]+?)\s*(?P<first>[<>]=?|\\[lg]e(?![a-zA-Z])))?\s*(?P<name>{_NAME})\s*"
    r"(?:(?P<second>[<>]=?|\\[lg]e(?![a-zA-Z])|\\in(?![a-zA-Z]))\s*(?P<high>[^<>=|]+))?"
)
_BUILDER = re.compile(
    rf"\\?\{{\s*({_NAME})\s*(?:\\in\s*\\mathbb\s*\{{?R\}}?\s*)?[|:]\s*(.+?)\s*\\?\}}", re.DOTALL
)
_RELATIONS = {r"\le": "<=", r"\ge": ">="}


def interval_of(text: str) -> tuple[str, str] | None:
    """The name and the interval of "0 \\le x < 1", "x > 3 or x < 0", `\\{x | x > 3\\}`.

    The name is empty for a set. None for anything else.
    """
    if not any(sign in text for sign in ("<", ">", r"\le", r"\ge", r"\in", r"\mid")):
        return None
    if builder := _BUILDER.fullmatch(text):
        inner = interval_of(builder[2])
        return ("", inner[1]) if inner is not None and inner[0] == builder[1] else None
    found = [_condition(piece) for piece in _OR.split(text)]
    names = {each[0] for each in found if each is not None}
    if None in found or len(names) != 1 or len(found) > MAX_ITEMS:
        return None
    return names.pop(), r"\cup".join(each[1] for each in found if each is not None)


def _condition(text: str) -> tuple[str, str] | None:
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        return None
    low, name, high = found["low"], found["name"], found["high"]
    first, second = (_RELATIONS.get(sign or "", sign) for sign in (found["first"], found["second"]))
    if name in (r"\infty", r"\pi") or not (first or second):
        return None
    if second == r"\in":
        return None if first else (name, high.strip())
    if first and second and first[0] != second[0]:
        return None
    # From "3 > x > 1" to "1 < x < 3".
    if (first or second or "")[0] == ">":
        low, high, first, second = high, low, second, first
    left = f"{'[' if first == '<=' or first == '>=' else '('}{low.strip()}" if low else r"(-\infty"
    right = f"{high.strip()}{']' if second in ('<=', '>=') else ')'}" if high else r"\infty)"
    return name, f"{left},{right}"


def _encloses(text: str) -> bool:
    """Whether it is in brackets, and the first one is closed by the last one."""
    depth = 0
    if text[:2] == r"\{":
        return text[-2:] == r"\}" and text.count(r"\{") == 1
    if text[:1] not in tuple(_OPENING):
        return False
    for at, letter in enumerate(text):
        if letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
            if depth == 0:
                return at == len(text) - 1
    return False


def _matrix(body: str) -> Parts | None:
    rows = [row.strip() for row in _ROW.split(body) if row.strip()]
    if not rows or len(rows) > MAX_ITEMS or r"\begin" in body:
        return None
    columns = [[cell.strip() for cell in row.split("&")] for row in rows]
    if len({len(row) for row in columns}) > 1:
        return None
    if len(columns[0]) == 1:
        return Parts("matrix", tuple(row[0] for row in columns))
    return Parts("matrix", tuple("[" + ", ".join(row) + "]" for row in columns))
