"""Whatever is wrong with a line is that line's error; the other lines are answered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.http_server import HttpReply, HttpRequest, http_server
from thinkbudget import main

SIMULATED = ["--engine", "simulated", "--model", "simulated"]
MODEL = "the-first-listed"


def line(custom_id: object, body: str, url: str = "/v1/chat/completions") -> bytes:
    head = f'{{"custom_id": {json.dumps(custom_id)}, "method": "POST", "url": "{url}"'
    return f'{head}, "body": {body}}}'.encode()


def asked(text: str = "a=3 b=a*3 b?", more: str = "") -> str:
    return f'{{"messages": [{{"role": "user", "content": "{text}"}}]{more}}}'


GOOD = {
    "ok-1": asked(),
    "streamed": asked(more=', "stream": true, "stream_options": {"include_usage": true}'),
    "ok-2": asked("a=4 b=a*3 b?"),
    "own model": asked(more=', "model": null'),
}
BAD: list[tuple[object, bytes]] = [
    ("half-a-pair", line("half-a-pair", asked("\\ud83d"))),
    ("in a key", line("in a key", asked(more=', "\\udc00": 1'))),
    ("nan", line("nan", asked(more=', "temperature": NaN'))),
    ("infinite", line("infinite", asked(more=', "top_p": -Infinity'))),
    ("wrong-url", line("wrong-url", "{}", url="/v1/embeddings")),
    ("ok-1", line("ok-1", asked("again"))),
    ("list", line("list", "[]")),
    (None, b"[1,2]"),
    (None, line(7, asked())),
    (None, b"\xff\xfe{"),
    (None, b'{"custom_id": "torn", "body"'),
    ("latin", line("latin", asked("Gr\u00f6\u00dfe")).decode().encode("latin-1")),
    ("deep", line("deep", asked(more=f', "x": {"[" * 90}{"]" * 90}'))),
    ("digits", line("digits", asked(more=f', "seed": {"9" * 5000}'))),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    good = [line(custom_id, body) for custom_id, body in GOOD.items()]
    path = tmp_path / "in.jsonl"
    lines = [b"\xef\xbb\xbf", *good[:2], *(bad for _, bad in BAD), b"", *good[2:]]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def foreign() -> Iterator[str]:
    """An endpoint of another kind, whose replies have no usage."""

    def answer(request: HttpRequest) -> HttpReply:
        if request.method == "GET":
            return HttpReply({"object": "list", "data": [{"id": MODEL}, {"id": "another"}]})
        assert not request.body.get("stream") and request.body["model"] == MODEL
        message = {"role": "assistant", "content": "9"}
        return HttpReply({"choices": [{"index": 0, "message": message}]})

    with http_server(answer) as url:
        yield url


def ran(source: Path, *flags: str) -> Result:
    out = source.with_name("out.jsonl")
    return CliRunner().invoke(main, ["batch", "run", str(source), "-o", str(out), *flags])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def check(source: Path, result: Result) -> None:
    assert result.exit_code == 3, result.output
    answered = lines(source.with_name("out.jsonl"))
    assert sorted(each["custom_id"] for each in answered) == sorted(GOOD)
    failed = sorted(lines(source.with_name("out.errors.jsonl")), key=lambda each: each["line"])
    assert [each["custom_id"] for each in failed] == [custom_id for custom_id, _ in BAD]
    assert {each["response"]["status_code"] for each in failed} == {400}


def test_every_bad_line_is_its_own_error(source: Path) -> None:
    result = ran(source, *SIMULATED)
    check(source, result)
    again = ran(source, *SIMULATED)
    check(source, again)
    assert f"0 answered, {len(GOOD)} done before, {len(BAD)} failed" in again.output


def test_the_same_with_a_foreign_endpoint(source: Path, foreign: str) -> None:
    check(source, ran(source, "--url", foreign))
    check(source, ran(source, "--url", foreign))
