"""A language model as the judge: its words are kept, and what it fails to judge has no grade."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import RequestError
from scheduler.experiments import forecast, runner
from scheduler.experiments.llm_judge import GIVES_UP, RECORD, Judgement, LlmJudge
from scheduler.experiments.manifest import claim
from scheduler.experiments.prepare import prepare
from scheduler.experiments.questions.question import Question
from scheduler.experiments.results import load_results, read_cell
from scheduler.manifest import ResumeRefused
from tests.http_server import HttpReply, HttpRequest, http_server
from tests.scheduler.experiments.test_runner import Steps, settings

QUESTION = Question("q1", "sums", "1+1?", "2")


def reply(text: str | None) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def judge_that_compares(request: HttpRequest) -> HttpReply:
    """Right is what equals the reference, as the prompt has both."""
    lines = request.body["messages"][0]["content"].splitlines()
    reference = lines[lines.index("Right answer:") + 1]
    answer = lines[lines.index("Answer to judge:") + 1]
    assert request.headers["authorization"] == "Bearer sesame"
    return HttpReply(reply(f"It is {'CORRECT' if answer == reference else 'INCORRECT'}."))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """The address of a judge, and what it was asked."""
    asked: list[str] = []

    def answer(request: HttpRequest) -> HttpReply:
        asked.append(request.body["messages"][0]["content"])
        return judge_that_compares(request)

    monkeypatch.setenv("JUDGE_KEY", "sesame")
    with http_server(answer) as url:
        yield url, asked


def judged_settings(url: str, **fields: Any) -> Any:
    judge = {"url": url, "model": "m", "api_key_env": "JUDGE_KEY"}
    questions = [{"name": "simulated", "judge": judge}]
    return settings(questions=questions, limit=6, seeds=2, **fields)


def run(config: Any, folder: Path) -> int:
    prepared, steps = prepare(config), Steps()
    runner.run(prepared, runner.missing(prepared, folder), folder, steps)
    return steps.count


def test_the_judge_grades_each_answer_once_and_its_words_are_kept(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    assert run(judged_settings(url), tmp_path) == 4 * 6
    rows = load_results(tmp_path)
    assert len(rows) == 24 and not list(tmp_path.rglob("*.unjudged"))
    for row in rows:
        assert row["correct"] is (row["answer"] == row["reference"])
        assert row["chain_correct"] == [each == row["reference"] for each in row["chain_answers"]]
        assert "Right answer:\n" + row["reference"] in row["judge_prompt"]
        assert row["judge_reply"] == f"It is {'CORRECT' if row['correct'] else 'INCORRECT'}."
    assert len(asked) == len(set(asked))
    kept = [json.loads(line) for line in (tmp_path / RECORD).read_text("utf-8").splitlines()]
    assert sorted(line["prompt"] for line in kept) == sorted(asked)


def test_what_was_asked_is_judged_after_a_kill_without_asking_again(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    config = judged_settings(url)
    run(config, tmp_path)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "cells").glob("*.jsonl")}
    for path in (tmp_path / "cells").glob("*.jsonl"):
        path.rename(path.with_suffix(".unjudged"))
    with (tmp_path / RECORD).open("a", encoding="utf-8") as file:
        file.write('{"torn')
    before = len(asked)
    assert run(config, tmp_path) == 24
    assert len(asked) == before
    assert {p.name: p.read_bytes() for p in (tmp_path / "cells").glob("*.jsonl")} == whole


def test_another_judge_is_another_experiment(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    url, _ = server
    claim(prepare(judged_settings(url)), tmp_path)
    with pytest.raises(ResumeRefused, match="another questions.simulated"):
        claim(prepare(settings(limit=6, seeds=2, questions="simulated")), tmp_path)


def test_a_judge_that_cannot_be_reached_leaves_rows_without_a_grade(tmp_path: Path) -> None:
    config = judged_settings("http://127.0.0.1:9", policies={"p": {"policy": "fixed"}})
    run(config, tmp_path)
    (first, _) = prepare(config).cells
    rows = read_cell(first.path(tmp_path))
    assert len(rows) == 6
    for row in rows:
        assert row["correct"] is None and row["tokens"] > 0 and row["answer"] is not None
        assert row["error"].startswith("not graded: ") and row["judge_prompt"]
    assert "127.0.0.1:9 cannot be reached" in rows[0]["error"]
    with pytest.raises(ValueError, match="no outcome with a known answer"):
        load_results(tmp_path)


def test_a_plan_of_what_will_run_asks_no_judge(tmp_path: Path) -> None:
    prepared = prepare(judged_settings("http://127.0.0.1:9"))
    found = list(forecast.forecasts(prepared, prepared.cells, tmp_path))
    assert [each.policy for each in found] == ["plain", "votes"]
    assert all(each.tokens for each in found)


class ScriptedChat:
    """Replies or fails as told, and counts how often it was asked."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked = 0

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        told = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(told, Exception):
            raise told
        found: dict[str, Any] = told
        return found


def verdict_of(chat: ScriptedChat, tmp_path: Path, *answers: str | None) -> list[Judgement]:
    async def ask() -> list[Judgement]:
        judge = LlmJudge(chat, "m", "set", tmp_path / RECORD)
        return [await judge.verdict(QUESTION, answer) for answer in answers]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("text", "right"),
    [("CORRECT", True), ("INCORRECT", False), ("Not INCORRECT: CORRECT", True), ("correct", None)],
)
def test_the_last_verdict_of_a_reply_counts(tmp_path: Path, text: str, right: bool | None) -> None:
    (verdict,) = verdict_of(ScriptedChat(reply(text)), tmp_path, "2")
    assert (verdict.right, verdict.reply) == (right, text)
    assert (verdict.error is None) is (right is not None)


def test_a_reply_of_another_shape_is_no_verdict(tmp_path: Path) -> None:
    (verdict,) = verdict_of(ScriptedChat({"choices": []}), tmp_path, "2")
    assert verdict.right is None and verdict.error == "the judge's reply has no message"


def test_no_answer_is_wrong_without_asking(tmp_path: Path) -> None:
    chat = ScriptedChat(reply("CORRECT"))
    assert verdict_of(chat, tmp_path, None)[0].right is False and chat.asked == 0


def test_a_judge_that_fails_and_fails_is_asked_no_more(tmp_path: Path) -> None:
    chat = ScriptedChat(RequestError("it is down", code="unreachable"))
    found = verdict_of(chat, tmp_path, *(str(n) for n in range(10)))
    assert chat.asked == GIVES_UP
    assert [each.error for each in found[-2:]] == ["the judge failed before: it is down"] * 2


def test_one_failure_is_not_kept(tmp_path: Path) -> None:
    chat = ScriptedChat(RequestError("busy", code="http_503"), reply("CORRECT"))
    assert verdict_of(chat, tmp_path, "2")[0].right is None
    assert verdict_of(chat, tmp_path, "2")[0].right is True
