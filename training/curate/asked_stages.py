"""The stages that ask models: traces, domains, and how difficult a question is (s1, section 2).

Each takes part files, asks about their rows, and writes the rows, in order, with what was answered.
Rows of later batches are asked while the slowest reply of an earlier one is waited for.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from scheduler.progress import Progress
from training.curate.asking import Asker, AskingEnded, Cost, estimate
from training.curate.grading import grade, judge_prompt
from training.curate.msc import DOMAINS, domain_of
from training.curate.parts import PartWriter, read_parts
from training.curate.replies import Reply
from training.curate.rows import with_column
from training.curate.settings import Endpoint

CUT = "cut at max_tokens"
NO_THINKING = "no thinking"
NO_ANSWER = "no answer"
NO_DOMAIN = "no domain"
NO_GRADE = "no grade"
TOO_EASY = "too easy"


async def traces(
    files: Sequence[Path], teacher: Asker, out: PartWriter, progress: Progress
) -> None:
    """Add thinking and answer of the teacher; its prompt is the bare question."""

    async def traced(batch: pa.Table) -> pa.Table:
        replies = await teacher.ask_all(batch["question"].to_pylist())
        whole = [reply if isinstance(reply, Reply) else None for reply in replies]
        batch = with_column(batch, "thinking", [reply and reply.thinking for reply in whole])
        batch = with_column(batch, "attempt", [reply and reply.text for reply in whole])
        return with_column(batch, "dropped", [trace_fault(reply) for reply in replies])

    await _each(files, traced, out, progress, teacher)


def trace_fault(reply: Reply | str) -> str | None:
    """Why a trace is of no use, or None."""
    if isinstance(reply, str):
        return reply
    if reply.is_cut:
        return CUT
    if not reply.thinking:
        return NO_THINKING
    return None if reply.text else NO_ANSWER


async def classify(
    files: Sequence[Path],
    classifier: Asker,
    out: PartWriter,
    progress: Progress,
    attempts: int,
    domains: Mapping[str, str] = DOMAINS,
) -> None:
    """Add the domain of every question; asks again, more firmly, until one is named."""

    async def classified(batch: pa.Table) -> pa.Table:
        questions: list[str] = batch["question"].to_pylist()
        found: list[str | None] = [None] * len(questions)
        for attempt in range(attempts):
            open_ = [at for at, domain in enumerate(found) if domain is None]
            if not open_:
                break
            prompts = [domain_prompt(questions[at], attempt, domains) for at in open_]
            for at, reply in zip(open_, await classifier.ask_all(prompts), strict=True):
                found[at] = domain_of(reply.text, domains) if isinstance(reply, Reply) else None
        reasons = [None if domain else NO_DOMAIN for domain in found]
        return with_column(with_column(batch, "domain", found), "dropped", reasons)

    await _each(files, classified, out, progress, classifier)


async def difficulty(
    files: Sequence[Path],
    models: Mapping[str, Asker],
    judge: Asker | None,
    out: PartWriter,
    progress: Progress,
) -> None:
    """Add whether the trace is right and which models are; drop what a model answers rightly."""

    async def graded(batch: pa.Table) -> pa.Table:
        questions: list[str] = batch["question"].to_pylist()
        solutions: list[str] = batch["solution"].to_pylist()
        right = await grade(questions, batch["attempt"].to_pylist(), solutions, judge)
        solved: list[list[str]] = [[] for _ in questions]
        is_graded = [verdict is not None for verdict in right]
        for name, model in models.items():
            replies = await model.ask_all(questions)
            # A reply that was cut has no answer, so it is wrong, as in the paper.
            texts = [reply.text if isinstance(reply, Reply) else "" for reply in replies]
            for at, verdict in enumerate(await grade(questions, texts, solutions, judge)):
                is_graded[at] = is_graded[at] and verdict is not None
                if verdict:
                    solved[at].append(name)
        reasons = [
            NO_GRADE if not is_known else TOO_EASY if by else None
            for is_known, by in zip(is_graded, solved, strict=True)
        ]
        batch = with_column(with_column(batch, "trace_correct", right), "solved_by", solved)
        return with_column(batch, "dropped", reasons)

    askers = [*models.values(), *([judge] if judge else [])]
    await _each(files, graded, out, progress, *askers)


def domain_prompt(question: str, attempt: int = 0, domains: Mapping[str, str] = DOMAINS) -> str:
    """Asks for a code of `domains`. A later attempt says that the first gave none."""
    table = "\n".join(f"{code} {name}" for code, name in domains.items())
    again = "\nThe last line must be one of these codes and nothing else." * attempt
    return (
        f"Which of these subjects does the question at the end belong to?\n\n{table}\n\n"
        "Explain your choice in a sentence, then write the code of the subject alone on the "
        f"last line.{again}\n\nQuestion:\n{question}"
    )


def costs(
    files: Sequence[Path],
    endpoints: Mapping[str, Endpoint],
    judge: Endpoint | None = None,
    around: int = 0,
) -> dict[str, Cost]:
    """The most that a stage can cost at each of its endpoints, before anything is asked.

    `around` is how many letters its prompts have beside the question.
    """
    texts = ["question", "solution", "attempt"] if judge else ["question"]
    rows = letters = judged = 0
    for part in read_parts(files, texts):
        for row in part.to_pylist():
            rows += 1
            letters += len(row["question"]) + around
            if judge:
                judged += len(judge_prompt(row["question"], row["attempt"] or "", row["solution"]))
    found = {name: estimate(endpoint, rows, letters) for name, endpoint in endpoints.items()}
    if judge:
        graded = 1 + len(endpoints)
        found["judge"] = estimate(judge, rows * graded, judged * graded)
    return found


ROWS_AT_ONCE = 64
# Rows under way for each request that may be: so many may be answered before the slowest is.
ROWS_AHEAD = 4


async def _each(
    files: Sequence[Path],
    work: Callable[[pa.Table], Awaitable[pa.Table]],
    out: PartWriter,
    progress: Progress,
    *askers: Asker,
) -> None:
    """Write what `work` makes of every batch, in order. Raises AskingEnded."""

    async def done(batch: pa.Table) -> pa.Table:
        made = await work(batch)
        spent = sum(asker.spent for asker in askers)
        for _ in range(batch.num_rows):
            progress.advance(f"{spent:.2f} dollars spent")
        return made

    at_once = max(asker.endpoint.concurrency for asker in askers)
    most = 1 + -(-ROWS_AHEAD * at_once // ROWS_AT_ONCE)
    under_way: deque[asyncio.Task[pa.Table]] = deque()
    try:
        async with asyncio.TaskGroup() as group:
            for batch in _batches(files):
                under_way.append(group.create_task(done(batch)))
                if len(under_way) == most:
                    out.write(await under_way.popleft())
            while under_way:
                out.write(await under_way.popleft())
    except* AskingEnded as ended:
        raise ended.exceptions[0] from None


def _batches(files: Sequence[Path]) -> Iterator[pa.Table]:
    for part in read_parts(files):
        for at in range(0, part.num_rows, ROWS_AT_ONCE):
            yield part.slice(at, ROWS_AT_ONCE)
