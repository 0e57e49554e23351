"""What a long command says of its progress, where no terminal shows a bar."""

import json

import pytest

from scheduler import progress as module
from scheduler.progress import progress


@pytest.fixture
def every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)


@pytest.mark.usefixtures("every_line")
def test_no_end_is_foreseen_by_the_first_of_thousands(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("rows", 1000, done=500, kind="json") as shown:
        for _ in range(6):
            shown.advance()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done"] for line in lines] == [501, 502, 503, 504, 505, 506, 506]
    assert [line["seconds_left"] is None for line in lines] == [True] * 4 + [False] * 3


@pytest.mark.usefixtures("every_line")
def test_few_rows_foresee_their_end_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("rows", 3, kind="plain") as shown:
        shown.advance("first")
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("rows: 1/3, ") and first.endswith(" s left first")
