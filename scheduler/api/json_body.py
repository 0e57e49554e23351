"""JSON as it comes from strangers: what parsers read differently, or not in time, is refused."""

import json
import math
import re
from collections import Counter

from scheduler.api.wellformed import MOST_DEPTH
from scheduler.errors import InvalidRequest

MOST_DIGITS = 100

# Possessive, and an end that may be missing: one pass, whatever the text is.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def parse_json(raw: bytes) -> object:
    """The value of a JSON text in UTF-8.

    Raises InvalidRequest on anything else, on keys that come twice, numbers that are not finite or
    have more than MOST_DIGITS digits, and nesting deeper than MOST_DEPTH.
    """
    try:
        if _too_deep(raw):
            raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")
        return json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except ValueError as error:
        message = f"the body is not JSON: {error}"
        raise InvalidRequest(message, field=None, code="invalid_json") from None


def _too_deep(raw: bytes) -> bool:
    """Whether brackets nest too deep for recursion, found without any."""
    if raw.count(b"[") + raw.count(b"{") <= MOST_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_BRACKETS, _OTHERS)
    for _ in range(MOST_DEPTH):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > MOST_DEPTH


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} comes twice in one object")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number has {len(text)} digits, more than {MOST_DIGITS}")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or len(text) > MOST_DIGITS:
        raise ValueError(f"{text[:20]} is not a finite number of at most {MOST_DIGITS} digits")
    return value
