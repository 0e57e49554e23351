"""Logs of all processes as one stream, as text or as JSON."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from scheduler import logs

LINE = {"time": "2026-01-01T00:00:00.000Z", "level": "info", "logger": "thinkbudget", "pid": 7}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The loggers are those of all tests."""
    loggers = [logging.getLogger(name) for name in logs.LOGGERS]
    before = [(each.handlers, each.level, each.propagate) for each in loggers]
    yield
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


def test_a_record_is_one_object_a_line() -> None:
    stream = io.StringIO()
    logs.configure("info", stream=stream)
    log = logging.getLogger("thinkbudget")
    log.debug("not at this level")
    log.warning("two\nlines %s", "{}")
    logging.getLogger("workers.vllm.engine").info("from a module")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == (
        "warning", "thinkbudget", "two\nlines {}",
    )  # fmt: skip
    assert second["message"] == "from a module"
    assert "ValueError: why" in third["exception"]


def test_a_request_is_an_object_of_its_own() -> None:
    stream = io.StringIO()
    logs.configure("info", stream=stream)
    asked = {"method": "POST", "path": "/v1/x", "status": 200, "outcome": "ok", "tokens": 9}
    logging.getLogger("thinkbudget.requests").info("%s", json.dumps(asked))
    told = json.loads(stream.getvalue())
    assert told["request"] == asked
    assert told["message"].startswith("POST /v1/x 200 ok 9")


def test_lines_of_ours_are_shown_as_asked_and_others_only_with_everything() -> None:
    ours = json.dumps({**LINE, "message": "hello"})
    assert logs.shown(ours, as_json=True, everything=False) == ours
    text = logs.shown(ours, as_json=False, everything=False)
    assert text == "2026-01-01T00:00:00.000Z info    7 hello"
    for other in ("Loading weights: 100%", "[1]", "3", '{"a": 1}', "{torn"):
        assert logs.shown(other, as_json=False, everything=False) is None
        assert logs.shown(other, as_json=False, everything=True) == other
        shown = logs.shown(other, as_json=True, everything=True)
        assert shown is not None and "message" in json.loads(shown)


@pytest.mark.parametrize("as_json", [True, False])
def test_what_an_operator_is_told_is_a_line_like_the_others(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.tell("starting", as_json=as_json)
    line = capsys.readouterr().err
    assert (json.loads(line)["message"] if as_json else line.strip()) == "starting"
