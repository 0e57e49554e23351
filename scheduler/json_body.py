"""JSON as it comes from strangers, in HTTP bodies and in the lines of a batch.

What parsers read differently, or not in time, is refused, and so is text that no tokenizer takes.
"""

import json
import math
import re
from collections import Counter

from scheduler.errors import InvalidRequest

MAX_DEPTH = 64
MAX_DIGITS = 100

# Possessive, and an end that may be missing: one pass, whatever the text is.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def parse_json(raw: bytes) -> object:
    """The value of a JSON text in UTF-8.

    Raises InvalidRequest on anything else, on keys that come twice, numbers that are not finite or
    have more than MAX_DIGITS digits, and nesting deeper than MAX_DEPTH.
    """
    try:
        if _too_deep(raw):
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
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


def check_text(body: object) -> None:
    """Raise InvalidRequest with the place of the first text that is not whole letters.

    Half of a surrogate pair is legal in JSON, but no tokenizer takes it, and no reply could repeat
    it.
    """
    pending: list[tuple[str, object]] = [("", body)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, str):
            if not _is_text(value):
                raise _refusal(place, f"must be whole letters, got {value[:40]!r}")
        elif isinstance(value, list):
            pending += reversed([(_below(place, at), item) for at, item in enumerate(value)])
        elif isinstance(value, dict):
            for key in value:
                if not _is_text(key):
                    raise _refusal(place, f"a key must be whole letters, got {key[:40]!r}")
            pending += reversed([(_below(place, key), item) for key, item in value.items()])


def _below(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(place: str, why: str) -> InvalidRequest:
    place = place[:200]
    return InvalidRequest(f"{place or 'the body'}: {why}", field=place or None)


def _too_deep(raw: bytes) -> bool:
    """Whether brackets nest too deep for recursion, found without any."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_BRACKETS, _OTHERS)
    for _ in range(MAX_DEPTH):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} comes twice in one object")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits, more than {MAX_DIGITS}")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]} is not a finite number of at most {MAX_DIGITS} digits")
    return value
