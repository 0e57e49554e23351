"""A language model as the judge of answers: off unless a question set names one.

Cells of such a set are first asked, then judged: `CELL.unjudged` becomes `CELL.jsonl`. Every answer
to a question is judged once, whatever policies gave it; `judge.jsonl` keeps the prompts and the
replies. An answer without a verdict leaves its row without a grade, and the row says why.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from scheduler.errors import RequestError
from scheduler.experiments.questions.question import Question
from scheduler.experiments.results import ResultRow
from scheduler.experiments.settings import JudgeConfig

RECORD = "judge.jsonl"
UNJUDGED = ".unjudged"
CONCURRENCY = 8
GIVES_UP = 3
"""After so many failures one after another the judge is asked no more."""
PROMPT = """\
Judge whether an answer to a question is right. Only the final result counts: another form, unit or
wording of the same result is right; an answer that leaves the result open is wrong.

Question:
{question}

Right answer:
{reference}

Answer to judge:
{answer}

Reply with one word: CORRECT or INCORRECT."""
_VERDICT = re.compile(r"\b(IN)?CORRECT\b")


class Judgement(NamedTuple):
    """`right` of None: there is none, and `error` says why."""

    right: bool | None
    prompt: str
    reply: str | None
    error: str | None = None


class Chat(Protocol):
    """What a judge needs of an endpoint's client."""

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]: ...


@asynccontextmanager
async def judge_of(config: JudgeConfig, label: str, folder: Path) -> AsyncIterator["LlmJudge"]:
    """The judge of a question set; what it said before in this folder is not asked again."""
    from scheduler.client.http_client import NO_KEY, Client

    client = Client(config.url, api_key=os.environ.get(config.api_key_env) or NO_KEY, max_retries=2)
    try:
        yield LlmJudge(client, config.model, label, folder / RECORD)
    finally:
        await client.close()


class LlmJudge:
    """Gives verdicts, and keeps them in a file of JSON lines."""

    def __init__(self, client: Chat, model: str, label: str, record: Path) -> None:
        self._client = client
        self._model = model
        self._label = label
        self._record = record
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._failed = 0
        self._last = ""
        self._asked: dict[tuple[str, str], asyncio.Task[Judgement]] = {}
        self._known = {key: verdict for key, verdict in _read(record, label)}

    async def judged(self, rows: Sequence[ResultRow], questions: Sequence[Question]) -> list[Any]:
        """The rows with the judge's grades, in their order."""
        by_id = {question.id: question for question in questions}
        return await asyncio.gather(*(self._graded(row, by_id[row["id"]]) for row in rows))

    async def _graded(self, row: ResultRow, question: Question) -> ResultRow:
        if row["error"] is not None:
            return row
        chains = row["chain_answers"]
        verdict, *of_chains = await asyncio.gather(
            *(self.verdict(question, answer) for answer in (row["answer"], *(chains or ())))
        )
        error = None if verdict.error is None else f"not graded: {verdict.error}"
        return row | {
            "correct": verdict.right,
            "chain_correct": None if chains is None else [each.right for each in of_chains],
            "judge_prompt": verdict.prompt or None,
            "judge_reply": verdict.reply,
            "error": error,
        }

    async def verdict(self, question: Question, answer: str | None) -> Judgement:
        """No answer is wrong without asking."""
        if answer is None:
            return Judgement(False, "", None)
        key = question.id, answer
        if key in self._known:
            return self._known[key]
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self._ask(question, answer))
        return await self._asked[key]

    async def _ask(self, question: Question, answer: str) -> Judgement:
        prompt = PROMPT.format(question=question.question, reference=question.answer, answer=answer)
        async with self._slots:
            if self._failed >= GIVES_UP:
                return Judgement(None, prompt, None, f"the judge failed before: {self._last}")
            verdict = await self._reply(prompt)
        if verdict.right is None:
            self._failed, self._last = self._failed + 1, verdict.error or ""
            return verdict
        self._failed = 0
        line = {"questions": self._label, "id": question.id, "answer": answer}
        with self._record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | verdict._asdict(), ensure_ascii=False) + "\n")
        return verdict

    async def _reply(self, prompt: str) -> Judgement:
        body = {"model": self._model, "messages": [{"role": "user", "content": prompt}]}
        try:
            reply = await self._client.answer(body)
            text = str(reply["choices"][0]["message"]["content"])
        except RequestError as error:
            return Judgement(None, prompt, None, error.message)
        except (LookupError, TypeError):
            return Judgement(None, prompt, None, "the judge's reply has no message")
        found = list(_VERDICT.finditer(text))
        if not found:
            return Judgement(None, prompt, text, f"the judge gave no verdict: {text[-80:]!r}")
        return Judgement(found[-1][1] is None, prompt, text)


def _read(record: Path, label: str) -> list[tuple[tuple[str, str], Judgement]]:
    """What was judged before; a torn last line is left out."""
    found = []
    for line in record.read_text(encoding="utf-8").splitlines() if record.is_file() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if told["questions"] == label:
            verdict = Judgement(told["right"], told["prompt"], told["reply"])
            found.append(((told["id"], told["answer"]), verdict))
    return found
