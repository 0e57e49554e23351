"""What a reply puts into boxes: `\\boxed{...}`, `\\fbox{...}`, `\\boxed 7`, braces matched."""

import re
from typing import NamedTuple

_PIECE = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*\{|\\[a-zA-Z]+|\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])[ \t]*(?!\s*\{)([^\s${}]{1,200})")
# What stands between the boxes of one answer: "\boxed{1} and \boxed{2}".
_BETWEEN = re.compile(
    r"\s*(?:[$,;]|\\[()\[\]]|\\(?:text|quad|qquad|mathrm)\b|[{}]|\\[, ;!]|"
    r"\b(?:and|or|und|oder|et|ou|y|o|e)\b|\s)*"
)
_SPACES = re.compile(r"[\s{}$]*")


class Box(NamedTuple):
    """The offsets of a box in its text, and what it holds."""

    start: int
    end: int
    content: str


def boxes(text: str) -> tuple[list[Box], int | None]:
    """Outermost boxes that hold something, in order, and where a box begins that never ends.

    One pass, however the braces are nested.
    """
    found: list[Box] = []
    # For each open brace: where its box begins and its content, or None for another brace.
    open_: list[tuple[int, int] | None] = []
    within = False
    for piece in _PIECE.finditer(text):
        spelt = piece.group()
        if spelt == "}":
            if open_ and (box := open_.pop()) is not None:
                within = False
                found.append(Box(box[0], piece.end(), text[box[1] : piece.start()]))
        elif spelt == "{":
            open_.append(None)
        elif spelt[-1] == "{" and len(spelt) > 2:
            # A box inside of a box is part of that one's content.
            open_.append(None if within else (piece.start(), piece.end()))
            within = True
    unclosed = next((box[0] for box in open_ if box is not None), None)
    found += [Box(bare.start(), bare.end(), bare.group(1)) for bare in _BARE.finditer(text)]
    full = [box for box in sorted(found) if not _SPACES.fullmatch(box.content)]
    return full, unclosed


def last_box(text: str) -> Box | None:
    """The last box that holds something; boxes joined by "and" or a comma are one list."""
    found, _ = boxes(text)
    if not found:
        return None
    joined = [found[-1]]
    for box in reversed(found[:-1]):
        between = text[box.end : joined[0].start]
        # Without any word or comma between them they are two statements.
        if len(between) > 60 or not _BETWEEN.fullmatch(between) or not _joins(between):
            break
        joined.insert(0, box)
    content = ", ".join(box.content for box in joined)
    return Box(joined[0].start, joined[-1].end, content)


def unboxed(content: str, depth: int = 8) -> str:
    """What a box holds, without the boxes that are its whole content."""
    for _ in range(depth):
        box = last_box(content)
        if box is None or _SPACES.sub("", content[: box.start] + content[box.end :]):
            break
        content = box.content
    return content


def _joins(between: str) -> bool:
    return "\n\n" not in between and re.search(r"[,;]|[a-z]{1,4}(?![a-z{])", between) is not None
