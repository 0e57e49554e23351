"""JSON of strangers: what is not plainly JSON is refused, whatever its size, and quickly."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import InvalidRequest
from scheduler.json_body import MAX_DEPTH, MAX_DIGITS, check_text, parse_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(values)
def test_what_is_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1] [2]", "Extra data"),
        (b"\xff\xfe{\x00", "utf-8"),
        ('{"a": 1}'.encode("utf-16"), "utf-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b"[" * 100_000, f"deeper than {MAX_DEPTH}"),
        (b"[" * 100_000 + b"]" * 100_000, f"deeper than {MAX_DEPTH}"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, f"deeper than {MAX_DEPTH}"),
        (b'{"n": ' + b"9" * 5000 + b"}", f"more than {MAX_DIGITS}"),
        (b'{"n": 0.' + b"9" * 5000 + b"}", "finite number"),
        (b"NaN", "NaN"),
        (b'{"n": -Infinity}', "-Infinity"),
        (b"[1e400]", "1e400"),
        (b'{"model": "a", "n": 1, "model": "b"}', "'model' comes twice"),
        (b'{"a": [{"deep": 1, "deep": 1}]}', "'deep' comes twice"),
    ],
    ids=lambda part: repr(part[:24]),
)
def test_what_is_read_in_two_ways_or_not_at_all_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_json(raw)
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")
    assert told in refused.value.message
    assert len(json.dumps(refused.value.as_dict())) <= 2048


def test_brackets_in_texts_nest_nothing() -> None:
    text = "[{" * 1000 + '\\"' + "[" * 1000
    assert parse_json(json.dumps([text, {text: text}]).encode()) == [text, {text: text}]


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
def test_the_limit_of_nesting_is_exact(depth: int) -> None:
    # More brackets than the limit beside each other, so that the shortcut does not decide.
    raw = b"[" * depth + b"[]," * 100 + b"0" + b"]" * depth
    if depth + 1 <= MAX_DEPTH:
        assert parse_json(raw)
        return
    with pytest.raises(InvalidRequest, match="deeper"):
        parse_json(raw)


@pytest.mark.slow
@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * (2 << 20),
        b'"' * (4 << 20),
        b"[" * (4 << 20),
        b"{" + b'"a":' * (1 << 20),
        b'["' + b"\\" * (4 << 20),
        b"[" + b"[]," * (1 << 20),
        b"{" + b",".join(b'"%d":0' % (n % 200_000) for n in range(400_000)) + b"}",
    ],
    ids=["escapes", "quotes", "brackets", "colons", "backslashes", "pairs", "twice"],
)
def test_four_megabytes_of_malice_take_no_longer_than_honest_ones(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidRequest):
        parse_json(raw)
    assert time.process_time() - began < 10.0


HALF = "\ud83d"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"a": HALF}, "a"),
        ({"a": [{"b": "x" + HALF}]}, "a.0.b"),
        ({"a": {"b": {HALF: 1}}}, "a.b"),
        ({HALF: 1}, None),
        ({"first": HALF, "second": HALF}, "first"),
    ],
)
def test_the_first_text_that_is_none_is_refused_by_its_place(
    body: object, place: str | None
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_text(body)
    assert refused.value.field == place
    refused.value.message.encode()


@given(values)
def test_all_other_text_passes(body: object) -> None:
    check_text(body)


def test_zero_bytes_and_joined_emoji_are_text() -> None:
    check_text({"a": "\0 \u202e \u200d \U0001f468\u200d\U0001f469 \u2028"})
