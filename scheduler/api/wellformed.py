"""What no field of a request may hold, wherever it is: text that is no text, numbers that are none.

Half of a surrogate pair is legal in JSON, but no tokenizer takes it, and no reply could repeat it.
"""

import math

from scheduler.errors import InvalidRequest

MOST_DEPTH = 64


def check(body: object) -> None:
    """Raise InvalidRequest with the place of the first such value."""
    waiting: list[tuple[str, object, int]] = [("", body, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise _refusal(place, f"is nested more than {MOST_DEPTH} levels deep")
        if isinstance(value, str):
            if not _is_text(value):
                raise _refusal(place, f"must be whole letters, got {value[:40]!r}")
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _refusal(place, f"must be a finite number, got {value!r}")
        elif isinstance(value, list):
            inner = [(_below(place, at), item, depth + 1) for at, item in enumerate(value)]
            waiting += reversed(inner)
        elif isinstance(value, dict):
            for key in value:
                if not _is_text(key):
                    raise _refusal(place, f"a key must be whole letters, got {key[:40]!r}")
            inner = [(_below(place, key), item, depth + 1) for key, item in value.items()]
            waiting += reversed(inner)


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
