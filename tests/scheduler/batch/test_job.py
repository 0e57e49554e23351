"""A batch answers every line once, whatever happens to it on the way."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from policies.price import Price
from scheduler.api.chat import complete
from scheduler.batch.files import Files, count_lines, prepare, price_for
from scheduler.batch.job import BatchJob, JobEnded, Summary
from scheduler.errors import Overloaded, Unauthenticated
from scheduler.manifest import ResumeRefused
from tests.scheduler.simulation import chat, make_controller
from workers.simulated.clock import run_virtual
from workers.simulated.law import LAWS, reference

SETTINGS = {"policy": "fixed"}


class Steps:
    """Progress that is counted."""

    def __init__(self) -> None:
        self.count = 0

    def advance(self, note: str = "") -> None:
        self.count += 1


def line(custom_id: str, **fields: Any) -> str:
    body = chat(f"easy question {custom_id}", **fields)
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps(request | {"body": body})


def write(folder: Path, *lines: str) -> Path:
    source = folder / "in.jsonl"
    source.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return source


def ran(source: Path, *, force: bool = False, steps: Steps | None = None) -> Summary:
    files = Files.beside(source.parent / "out.jsonl")

    async def main() -> Summary:
        done = prepare(source, files, SETTINGS, force=force)
        answer = partial(complete, await make_controller())
        bar = steps or Steps()
        return await BatchJob(source, files, answer, done=done, concurrency=4, progress=bar).run()

    return run_virtual(main())


def answered(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "out.jsonl").read_text(encoding="utf-8")
    return [json.loads(one) for one in text.splitlines()]


def failed(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "out.errors.jsonl").read_text(encoding="utf-8")
    return [json.loads(one) for one in text.splitlines()]


def test_every_line_is_answered(tmp_path: Path) -> None:
    source, steps = write(tmp_path, *(line(str(n)) for n in range(12))), Steps()
    summary = ran(source, steps=steps)
    out = answered(tmp_path)
    assert (summary.answered, summary.failed, summary.skipped) == (12, 0, 0)
    assert sorted(one["custom_id"] for one in out) == sorted(map(str, range(12)))
    assert all(one["response"]["status_code"] == 200 and one["error"] is None for one in out)
    spent = [one["response"]["body"]["usage"]["completion_tokens"] for one in out]
    assert summary.tokens == sum(spent)
    assert steps.count == count_lines(source) == 12


@pytest.mark.parametrize("kept", [0, 1, 5, 11])
@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_killed_run_is_gone_on_with(tmp_path: Path, kept: int, torn: int) -> None:
    source = write(tmp_path, *(line(str(n)) for n in range(12)))
    ran(source)
    out = tmp_path / "out.jsonl"
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:kept]) + lines[kept][:torn])
    summary = ran(source)
    assert (summary.answered, summary.skipped) == (12 - kept, kept)
    assert sorted(one["custom_id"] for one in answered(tmp_path)) == sorted(map(str, range(12)))


def test_a_finished_job_has_nothing_left_to_do(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"), line("b"))
    ran(source)
    before = answered(tmp_path)
    assert ran(source) == Summary(0, 0, 2, 0, {})
    assert answered(tmp_path) == before


def test_bad_lines_are_recorded_and_the_others_answered(tmp_path: Path) -> None:
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
    summary = ran(source)
    errors = {one["line"]: one["response"]["body"]["error"] for one in failed(tmp_path)}
    assert {one["custom_id"] for one in answered(tmp_path)} == {"a", "b"}
    assert errors.keys() == {2, 3, 5, 6, 8, 9, 10, 11, 12}
    assert {number: error["param"] for number, error in errors.items()} == {
        2: None, 3: "custom_id", 5: "custom_id", 6: "temperature", 8: "url", 9: "method",
        10: "body", 11: "custom_id", 12: None,
    }  # fmt: skip
    assert "'a'" in errors[5]["message"]
    assert summary == Summary(2, 9, 0, summary.tokens, {"invalid_json": 2, "invalid_value": 7})
    (refused,) = [one for one in failed(tmp_path) if one["line"] == 6]
    assert refused["custom_id"] == "refused"
    assert refused["response"]["status_code"] == 400


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    source.write_bytes(b"\xff\xfe\n" + source.read_bytes())
    assert ran(source).errors == {"invalid_json": 1}
    assert [one["custom_id"] for one in answered(tmp_path)] == ["a"]


def test_failed_rows_are_tried_again(tmp_path: Path) -> None:
    source, ill = write(tmp_path, line("a"), line("b")), {"easy question b"}
    files = Files.beside(tmp_path / "out.jsonl")

    async def main() -> Summary:
        controller = await make_controller()

        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            if body["messages"][0]["content"] in ill:
                raise Overloaded("no engine")
            return await complete(controller, body)

        done = prepare(source, files, SETTINGS, force=False)
        return await BatchJob(
            source, files, answer, done=done, concurrency=2, progress=Steps()
        ).run()

    assert run_virtual(main()).errors == {"engine_unavailable": 1}
    assert [one["custom_id"] for one in failed(tmp_path)] == ["b"]
    ill.clear()
    assert run_virtual(main())[:3] == (1, 0, 1)
    assert failed(tmp_path) == []
    assert {one["custom_id"] for one in answered(tmp_path)} == {"a", "b"}


def test_another_jobs_output_is_refused_but_for_force(tmp_path: Path) -> None:
    ran(write(tmp_path, line("a")))
    other = write(tmp_path, line("a"), line("b"))
    before = answered(tmp_path)
    with pytest.raises(ResumeRefused, match="input_sha256"):
        ran(other)
    assert answered(tmp_path) == before
    assert ran(other, force=True)[:3] == (1, 0, 1)
    assert {one["custom_id"] for one in answered(tmp_path)} == {"a", "b"}


def test_other_settings_are_another_job(tmp_path: Path) -> None:
    source, files = write(tmp_path, line("a")), Files.beside(tmp_path / "out.jsonl")
    ran(source)
    with pytest.raises(ResumeRefused, match="policy"):
        prepare(source, files, {"policy": "majority"}, force=False)


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
    source.write_text(source.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    before = source.read_bytes()
    with pytest.raises(ValueError, match=r"in\.jsonl"):
        prepare(source, Files.beside(source), SETTINGS, force=False)
    assert source.read_bytes() == before


def test_every_output_has_files_of_its_own() -> None:
    assert Files.beside(Path("x/out.jsonl")) == (
        Path("x/out.jsonl"), Path("x/out.errors.jsonl"), Path("x/out.manifest.json"),
    )  # fmt: skip
    names = ["out.jsonl", "out.v1.jsonl", "out.v2.jsonl", "day.1", "day.2"]
    every = [path for name in names for path in Files.beside(Path(name))]
    assert len(set(every)) == len(every)


def jobs(count: int) -> list[str]:
    kinds = list(LAWS)
    texts = [f"{kinds[number % len(kinds)]} question {number}" for number in range(count)]
    return [
        json.dumps(
            {
                "custom_id": str(number),
                "body": chat(
                    text,
                    metadata={"query_class": kinds[number % len(kinds)]},
                    thinkbudget={"reference_answer": reference(text)},
                ),
            }
        )
        for number, text in enumerate(texts)
    ]


@pytest.mark.slow
def test_a_jobs_budget_is_spent_and_not_more(tmp_path: Path) -> None:
    count, budget = 600, 600 * 220
    source, files = write(tmp_path, *jobs(count)), Files.beside(tmp_path / "out.jsonl")

    async def main() -> Summary:
        done = prepare(source, files, SETTINGS, force=False)
        price = price_for(budget, source, files, done)
        answer = partial(complete, await make_controller(policy="priced"))
        return await BatchJob(
            source, files, answer, done=done, concurrency=8, progress=Steps(), price=price
        ).run()

    summary = run_virtual(main())
    assert summary.failed == 0
    assert summary.tokens == pytest.approx(budget, rel=0.05)
    prices = [one["response"]["body"]["thinkbudget"]["price"] for one in answered(tmp_path)]
    assert len(set(prices)) > 100


def test_a_jobs_price_goes_with_lines_that_leave_their_policy_open(tmp_path: Path) -> None:
    own = [{"policy": "fixed"}, {"price": 2e-4}, {}]
    source = write(tmp_path, *(line(str(n), thinkbudget=wish) for n, wish in enumerate(own)))
    files = Files.beside(tmp_path / "out.jsonl")
    asked: dict[str, object] = {}

    async def main() -> None:
        done = prepare(source, files, SETTINGS, force=False)
        controller = await make_controller()

        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            asked[body["messages"][0]["content"][-1]] = body["thinkbudget"]
            return await complete(controller, body)

        price = Price.for_job(3000, 3, 1e-3)
        await BatchJob(
            source, files, answer, done=done, concurrency=1, progress=Steps(), price=price
        ).run()

    run_virtual(main())
    assert asked["0"] == own[0] and asked["1"] == own[1]
    assert isinstance(asked["2"], dict) and asked["2"]["policy"] == "priced"


def test_a_resumed_job_has_what_is_left_of_its_budget(tmp_path: Path) -> None:
    source, files = (
        write(tmp_path, *(line(str(n)) for n in range(4))),
        Files.beside(tmp_path / "out.jsonl"),
    )
    ran(source)
    kept = answered(tmp_path)[:1]
    files.out.write_text(json.dumps(kept[0]) + "\n", encoding="utf-8")
    spent = kept[0]["response"]["body"]["usage"]["completion_tokens"]
    price = price_for(spent + 300, source, files, {kept[0]["custom_id"]})
    assert price.tokens_per_query == 100
    with pytest.raises(ValueError, match=f"budget is {spent} tokens, and {spent} are spent"):
        price_for(spent, source, files, {kept[0]["custom_id"]})


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_must_be_positive(tmp_path: Path, budget: float) -> None:
    source = write(tmp_path, line("0"))
    with pytest.raises(ValueError, match=f"budget .*{budget}"):
        price_for(budget, source, Files.beside(tmp_path / "out.jsonl"), set())


BAD_LINES = [
    ('{"custom_id": "a", "body": {"x": 1, "x": 2}}', "a", "invalid_json"),
    ('{"custom_id": "b", "body": {"top_p": NaN}}', "b", "invalid_json"),
    ('{"custom_id": "c", "body": {"messages": "\\ud800"}}', "c", "invalid_value"),
    ('{"custom_id": "d", "body": []}', "d", "invalid_value"),
    ('{"custom_id": "e", "url": "/v1/other", "body": {}}', "e", "invalid_value"),
    ("[" * 100 + "]" * 100, None, "invalid_json"),
    ("\xff", None, "invalid_json"),
]


def test_one_bad_line_never_ends_a_job(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    texts = [line("first", stream=True), *(text for text, _, _ in BAD_LINES), line("last")]
    source.write_bytes(b"\xef\xbb\xbf" + b"\n".join(text.encode("latin-1") for text in texts))
    summary = ran(source)
    assert sorted(one["custom_id"] for one in answered(tmp_path)) == ["first", "last"]
    errors = sorted(failed(tmp_path), key=lambda one: int(one["line"]))
    found = [(one["custom_id"], one["response"]["body"]["error"]["code"]) for one in errors]
    assert found == [(custom_id, code) for _, custom_id, code in BAD_LINES]
    assert (summary.answered, summary.failed) == (2, len(BAD_LINES))


async def given(reply: Any, source: Path) -> Summary:
    files = Files.beside(source.parent / "out.jsonl")
    done = prepare(source, files, SETTINGS, force=False)

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        if isinstance(reply, Exception):
            raise reply
        value: dict[str, Any] = reply
        return value

    bar = Steps()
    return await BatchJob(source, files, answer, done=done, concurrency=2, progress=bar).run()


@pytest.mark.parametrize("reply", [{"choices": []}, {"id": None, "usage": None}])
async def test_a_foreign_reply_without_usage_counts_no_tokens(reply: Any, tmp_path: Path) -> None:
    summary = await given(reply, write(tmp_path, line("one")))
    assert (summary.answered, summary.tokens) == (1, 0)


async def test_an_unforeseen_error_is_that_lines_error(tmp_path: Path) -> None:
    summary = await given(KeyError("surprise"), write(tmp_path, line("one"), line("two")))
    assert (summary.failed, summary.errors) == (2, {"failed": 2})
    assert {one["custom_id"] for one in failed(tmp_path)} == {"one", "two"}


async def test_a_key_that_is_refused_ends_the_job_at_once(tmp_path: Path) -> None:
    refusal = Unauthenticated()
    with pytest.raises(JobEnded, match="asks for a key"):
        await given(refusal, write(tmp_path, *(line(str(n)) for n in range(5))))
    assert failed(tmp_path) == []


@pytest.mark.parametrize(
    "reply",
    [{"error": {"message": "no"}}, {"usage": "many"}, {"usage": {"completion_tokens": "x"}}, None],
)
async def test_a_reply_that_cannot_be_kept_is_that_lines_error(reply: Any, tmp_path: Path) -> None:
    summary = await given(reply, write(tmp_path, line("one")))
    assert (summary.answered, summary.failed) == (0, 1)
    assert answered(tmp_path) == []
    assert [one["custom_id"] for one in failed(tmp_path)] == ["one"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
async def test_a_full_disk_ends_the_job_with_the_name_of_the_file(tmp_path: Path) -> None:
    source = write(tmp_path, line("one"), line("two"))
    files = Files(Path("/dev/full"), tmp_path / "errors", tmp_path / "manifest")

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"id": "x"}

    job = BatchJob(source, files, answer, done=set(), concurrency=2, progress=Steps())
    with pytest.raises(JobEnded, match="/dev/full cannot be written"):
        await job.run()
    assert files.errors.read_text() == ""
