"""What the tests of batch jobs share: rows, files, and jobs that run on virtual time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scheduler.batch.asking import Answer, plain
from scheduler.batch.budget.goals import Goals
from scheduler.batch.durability.output import Output, fingerprint
from scheduler.batch.inputs.files import read_rows
from scheduler.batch.job import Attempts, BatchPass, Summary
from scheduler.batch.run import Job, JobReport, JobSettings
from scheduler.batch.storage import locate
from scheduler.config import EngineConfig, PolicyConfig, ServeConfig
from tests.scheduler.simulation import chat
from workers.simulated.clock import run_virtual
from workers.simulated.law import LAWS, reference

SIMULATED = EngineConfig(kind="simulated", model="simulated")
FIXED = ServeConfig(engine=SIMULATED, policy=PolicyConfig("fixed"))
PRICED = ServeConfig(engine=SIMULATED)


class Steps:
    """Progress that is counted."""

    def __init__(self) -> None:
        self.count = 0
        self.notes: list[str] = []

    def advance(self, note: str = "") -> None:
        self.count += 1
        self.notes.append(note)


def line(custom_id: str, **fields: Any) -> str:
    body = chat(f"easy question {custom_id}", **fields)
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps(request | {"body": body})


def mixed(count: int, *, labelled: bool = True) -> list[str]:
    """Lines of all the simulated classes in turn."""
    lines = []
    for number in range(count):
        kind = list(LAWS)[number % len(LAWS)]
        text = f"{kind} question {number}"
        own = {"reference_answer": reference(text)} if labelled else {}
        body = chat(text, metadata={"query_class": kind}, thinkbudget=own)
        lines.append(json.dumps({"custom_id": str(number), "body": body}))
    return lines


def write(folder: Path, *lines: str, name: str = "in.jsonl") -> Path:
    source = folder / name
    source.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return source


def settings(source: Path, where: ServeConfig | str = FIXED, **fields: Any) -> JobSettings:
    out = locate(str(source.parent / fields.pop("out", "out.jsonl")))
    return JobSettings(locate(str(source)), out, where, **fields)


def job(source: Path, *, steps: Steps | None = None, **fields: Any) -> Job:
    @contextmanager
    def bar(what: str, total: int, done: int) -> Iterator[Steps]:
        yield steps or Steps()

    return Job(settings(source, **fields), bar)


def ran(
    source: Path, *, force: bool = False, goals: Goals | None = None, **fields: Any
) -> JobReport:
    """A job from its begin to its end, on virtual time."""
    one = job(source, goals=goals or Goals(), **fields)
    one.begin(force=force)
    return run_virtual(one.run())


async def asked(
    source: Path, answer: Answer, *, concurrency: int = 2, attempts: Attempts | None = None
) -> Summary:
    """One pass with an `answer` of the test's own."""
    output = Output(locate(str(source.parent / "out.jsonl")))
    output.begin({"input_sha256": fingerprint(locate(str(source)))})
    one = BatchPass(
        read_rows(locate(str(source))),
        output,
        plain(answer, {}),
        lambda row, answered: output.answer(row.custom_id, answered.line),
        done=output.done,
        concurrency=concurrency,
        progress=Steps(),
        attempts=attempts,
    )
    try:
        summary = await one.run()
        output.publish()
    finally:
        output.close()
    return summary


def lines_of(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]


def answered(folder: Path, name: str = "out.jsonl") -> list[dict[str, Any]]:
    return lines_of(folder / name)


def failed(folder: Path) -> list[dict[str, Any]]:
    return lines_of(folder / "out.errors.jsonl")


def ids(folder: Path) -> list[str]:
    return sorted(one["custom_id"] for one in answered(folder))
