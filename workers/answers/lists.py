"""Answers of several parts: tuples, sets, intervals, matrices, "1 or 2", "\\pm 3"."""

import re
from typing import Literal, NamedTuple

MAX_ITEMS = 64


class Parts(NamedTuple):
    """`brackets` as in "[)"; empty for a bare list, a set and a matrix."""

    kind: Literal["bare", "set", "tuple", "matrix"]
    items: tuple[str, ...]
    brackets: str = ""


_MATRIX = re.compile(
    r"\\begin\s*\{([pbvBV]?matrix|array|smallmatrix)\}(?:\s*\{[lcr|]*\})?(.*)\\end\s*\{\1\}",
    re.DOTALL,
)
_ROW = re.compile(r"\\\\|\\cr\b")
_WORD = re.compile(
    r",?\s*(?<![\w\\])(?:and|or|und|oder|et|ou|y|o|и|или|和|或|と)(?!\w)\s*|"
    r"\s*\\(?:lor|vee)\s*"
)
_PLUS_MINUS = re.compile(r"\\pm\s*(.+)", re.DOTALL)
_DIGITS_GROUPED = re.compile(r"[-+]?\$?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
_OPENING, _CLOSING = "([{", ")]}"


def parts_of(text: str) -> Parts | None:
    """The parts of a tidy answer, None where it is one thing. Braces and brackets are matched."""
    if matrix := _MATRIX.fullmatch(text):
        return _matrix(matrix[2])
    if found := _PLUS_MINUS.fullmatch(text):
        return Parts("set", (found[1], f"-{found[1]}")) if len(found[1]) < 20 else None
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


def _encloses(text: str) -> bool:
    """Whether the first bracket is closed by the last one."""
    depth = 0
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
