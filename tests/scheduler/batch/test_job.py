"""A batch answers every row once, whatever happens to it on the way."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.batch.ended import EXHAUSTED, UNREACHABLE, JobEnded
from scheduler.batch.job import Attempts
from scheduler.client.http_client import Unreachable
from scheduler.config import PolicyConfig, ServeConfig
from scheduler.errors import Overloaded, PoisonRequest, RequestError, Unauthenticated, UnknownModel
from scheduler.manifest import ResumeRefused
from tests.scheduler.batch.jobs import (
    SIMULATED,
    Steps,
    answered,
    asked,
    failed,
    ids,
    job,
    line,
    ran,
    write,
)
from tests.scheduler.simulation import chat
from workers.simulated.clock import run_virtual


def test_every_row_is_answered(tmp_path: Path) -> None:
    source, steps = write(tmp_path, *(line(str(n)) for n in range(12))), Steps()
    report = ran(source, steps=steps)
    summary, out = report.summary, answered(tmp_path)
    assert (summary.answered, summary.failed, summary.skipped) == (12, 0, 0)
    assert ids(tmp_path) == sorted(map(str, range(12)))
    assert all(one["response"]["status_code"] == 200 and one["error"] is None for one in out)
    spent = [one["response"]["body"]["usage"]["completion_tokens"] for one in out]
    assert summary.tokens == report.tokens == sum(spent)
    assert steps.count == 12


@pytest.mark.parametrize("kept", [0, 1, 5, 11])
@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_killed_run_is_gone_on_with(tmp_path: Path, kept: int, torn: int) -> None:
    source = write(tmp_path, *(line(str(n)) for n in range(12)))
    ran(source)
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    lines = out.read_bytes().splitlines(keepends=True)
    partial.write_bytes(b"".join(lines[:kept]) + lines[kept][:torn])
    out.unlink()
    summary = ran(source).summary
    assert (summary.answered, summary.skipped) == (12 - kept, kept)
    assert ids(tmp_path) == sorted(map(str, range(12)))
    assert not partial.exists()


def test_a_finished_job_has_nothing_left_to_do(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"), line("b"))
    first = ran(source)
    before = answered(tmp_path)
    again = ran(source)
    assert (again.summary.answered, again.summary.skipped, again.summary.tokens) == (0, 2, 0)
    assert again.tokens == first.tokens
    assert answered(tmp_path) == before


def test_nothing_of_a_job_is_published_before_its_end(tmp_path: Path) -> None:
    source = write(tmp_path, *(line(str(n)) for n in range(9)))
    one = job(source, concurrency=1)
    one.begin()

    async def main() -> None:
        import asyncio

        running = asyncio.create_task(one.run())
        while not (tmp_path / "out.jsonl.partial").exists():
            await asyncio.sleep(0.001)
        one.stop()
        report = await running
        assert not report.summary.is_whole and 0 < report.summary.answered < 9

    run_virtual(main())
    assert not (tmp_path / "out.jsonl").exists()
    state = json.loads((tmp_path / "out.manifest.json").read_text())["state"]
    assert state["status"] == "interrupted"
    assert ran(source).summary.answered == 9 - len(one.output.done)
    assert ids(tmp_path) == sorted(map(str, range(9)))


def test_a_stop_while_the_last_row_waits_for_its_turn_leaves_that_row_to_the_next_run(
    tmp_path: Path,
) -> None:
    source = write(tmp_path, *(line(str(n)) for n in range(3)))
    one = job(source, concurrency=2)
    one.begin()

    async def main() -> None:
        import asyncio

        running = asyncio.create_task(one.run())
        await asyncio.sleep(0.001)
        one.stop()
        summary = (await running).summary
        assert (summary.answered, summary.is_whole) == (2, False)

    run_virtual(main())
    assert ran(source).summary.answered == 1
    assert ids(tmp_path) == ["0", "1", "2"]


def test_bad_rows_are_recorded_and_the_others_answered(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        line("a"),
        '{"custom_id": "torn", "body"',
        json.dumps({"body": chat()}),
        "",
        line("a"),
        line("refused", temperature=9),
        line("b"),
        json.dumps({"custom_id": "elsewhere", "url": "/v1/embeddings", "body": chat()}),
        json.dumps({"custom_id": "got", "method": "GET", "body": chat()}),
        json.dumps({"custom_id": "bodiless"}),
        json.dumps({"custom_id": "", "body": chat()}),
        "[1, 2]",
    )
    summary = ran(source).summary
    errors = {one["line"]: one["response"]["body"]["error"] for one in failed(tmp_path)}
    assert ids(tmp_path) == ["a", "b"]
    assert errors.keys() == {2, 3, 5, 6, 8, 9, 10, 11, 12}
    assert {number: error["param"] for number, error in errors.items()} == {
        2: None, 3: "custom_id", 5: "custom_id", 6: "temperature", 8: "url", 9: "method",
        10: "body", 11: "custom_id", 12: None,
    }  # fmt: skip
    assert "'a'" in errors[5]["message"]
    assert summary.errors == {"invalid_json": 2, "invalid_value": 6, "duplicate_id": 1}
    (refused,) = [one for one in failed(tmp_path) if one["line"] == 6]
    assert refused["custom_id"] == "refused"
    assert refused["response"]["status_code"] == 400


async def test_failed_rows_are_tried_again(tmp_path: Path) -> None:
    source, ill = write(tmp_path, line("a"), line("b")), {"easy question b"}

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        if body["messages"][0]["content"] in ill:
            raise RequestError("no luck", code="internal_error")
        return {"id": "x", "usage": {"completion_tokens": 3}}

    first = await asked(source, answer)
    assert first.errors == {"internal_error": 1}
    assert [(one["custom_id"], one["attempts"]) for one in failed(tmp_path)] == [("b", 1)]
    await asked(source, answer)
    assert [(one["custom_id"], one["attempts"]) for one in failed(tmp_path)] == [("b", 2)]
    ill.clear()
    again = await asked(source, answer)
    assert (again.answered, again.failed, again.skipped) == (1, 0, 1)
    assert failed(tmp_path) == [] and ids(tmp_path) == ["a", "b"]


async def test_a_row_that_always_fails_is_given_up(tmp_path: Path) -> None:
    source, count = write(tmp_path, line("a"), line("b")), 0

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal count
        count += 1
        raise RequestError("never", code="internal_error")

    for _ in range(4):
        summary = await asked(source, answer, attempts=Attempts(over_runs=2))
    assert count == 4 and summary.errors == {"given_up": 2}
    assert sorted(one["custom_id"] for one in failed(tmp_path)) == ["a", "b"]
    assert (await asked(source, answer, attempts=Attempts(over_runs=3))).failed == 2
    assert count == 6
    await asked(source, answer, attempts=Attempts(again=False))
    assert count == 6 and len(failed(tmp_path)) == 2


def test_an_error_that_passes_is_waited_for(tmp_path: Path) -> None:
    source, tries = write(tmp_path, line("a")), 0

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Overloaded("busy")
        return {"id": "x"}

    summary = run_virtual(asked(source, answer))
    assert (summary.answered, tries) == (1, 4)


def test_a_row_that_kills_engines_is_tried_once_more_alone(tmp_path: Path) -> None:
    source = write(tmp_path, *(line(str(n)) for n in range(8)))
    running: set[str] = set()
    beside: list[set[str]] = []

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        import asyncio

        text = body["messages"][0]["content"]
        running.add(text)
        try:
            await asyncio.sleep(0.5 if text.endswith("3") else 1)
            if text.endswith("3"):
                beside.append(set(running))
                raise PoisonRequest(2)
            return {"id": text}
        finally:
            running.discard(text)

    summary = run_virtual(asked(source, answer, concurrency=4))
    assert (summary.answered, summary.errors) == (7, {"poison_request": 1})
    assert [len(found) for found in beside] == [4, 1]


def test_another_jobs_output_is_refused_but_for_force(tmp_path: Path) -> None:
    ran(write(tmp_path, line("a")))
    other = write(tmp_path, line("a"), line("b"))
    before = answered(tmp_path)
    with pytest.raises(ResumeRefused, match="input_sha256"):
        ran(other)
    assert answered(tmp_path) == before
    summary = ran(other, force=True).summary
    assert (summary.answered, summary.failed, summary.skipped) == (1, 0, 1)
    assert ids(tmp_path) == ["a", "b"]


def test_other_settings_are_another_job(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    ran(source)
    with pytest.raises(ResumeRefused, match="policy"):
        ran(source, where=ServeConfig(engine=SIMULATED, policy=PolicyConfig("majority")))


@pytest.mark.parametrize("text", ['{"a": 1}\n', "a diary, without an end of line", "words\n"])
def test_a_file_that_is_no_batch_output_is_refused_and_left_alone(
    tmp_path: Path, text: str
) -> None:
    source, out = write(tmp_path, line("a")), tmp_path / "out.jsonl"
    out.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"out\.jsonl"):
        ran(source)
    assert out.read_text(encoding="utf-8") == text


def test_a_job_does_not_write_into_its_own_input(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    before = source.read_bytes()
    with pytest.raises(ValueError, match=r"in\.jsonl"):
        ran(source, out="in.jsonl")
    assert source.read_bytes() == before


@pytest.mark.parametrize("reply", [{"choices": []}, {"id": None, "usage": None}])
async def test_a_foreign_reply_without_usage_counts_no_tokens(reply: Any, tmp_path: Path) -> None:
    summary = await asked(write(tmp_path, line("one")), _always(reply))
    assert (summary.answered, summary.tokens) == (1, 0)


async def test_an_unforeseen_error_is_that_rows_error(tmp_path: Path) -> None:
    summary = await asked(write(tmp_path, line("one"), line("two")), _always(KeyError("surprise")))
    assert (summary.failed, summary.errors) == (2, {"failed": 2})
    assert {one["custom_id"] for one in failed(tmp_path)} == {"one", "two"}


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Unauthenticated(), UNREACHABLE),
        (UnknownModel("nobody", "somebody"), UNREACHABLE),
        (Unreachable("nobody is there", code="unreachable"), UNREACHABLE),
        (RequestError("no more", code="insufficient_quota"), EXHAUSTED),
    ],
)
async def test_what_every_row_would_meet_ends_the_job_at_once(
    refusal: RequestError, code: int, tmp_path: Path
) -> None:
    with pytest.raises(JobEnded) as ended:
        await asked(write(tmp_path, *(line(str(n)) for n in range(5))), _always(refusal))
    assert ended.value.exit_code == code
    assert failed(tmp_path) == []


async def test_a_model_that_only_one_row_names_is_that_rows_error(tmp_path: Path) -> None:
    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] == "nobody":
            raise UnknownModel("nobody", "simulated")
        return {"id": "x"}

    source = write(tmp_path, line("a"), line("b", model="nobody"), line("c"))
    summary = await asked(source, answer, concurrency=1)
    assert (summary.answered, summary.errors) == (2, {"model_not_found": 1})


@pytest.mark.parametrize(
    "reply",
    [{"error": {"message": "no"}}, {"usage": "many"}, {"usage": {"completion_tokens": "x"}}, None],
)
async def test_a_reply_that_cannot_be_kept_is_that_rows_error(reply: Any, tmp_path: Path) -> None:
    summary = await asked(write(tmp_path, line("one")), _always(reply))
    assert (summary.answered, summary.failed) == (0, 1)
    assert answered(tmp_path) == []
    assert [one["custom_id"] for one in failed(tmp_path)] == ["one"]


def _always(reply: Any) -> Any:
    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        if isinstance(reply, Exception):
            raise reply
        value: dict[str, Any] = reply
        return value

    return answer
