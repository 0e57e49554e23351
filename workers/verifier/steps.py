"""Where the steps of a thinking end: at the end of a line, and after a number that follows "="."""

import re

_END = re.compile(r"=\s?-?\d+(?:\.\d+)?(?!\.?\d)|[^\s](?=[^\S\n]*(?:\n|$))")


def step_ends(thinking: str) -> list[int]:
    """The offsets just after each step, in characters, ascending.

    White space around the thinking changes only the offsets, not the steps.
    """
    return sorted({match.end() for match in _END.finditer(thinking)})
