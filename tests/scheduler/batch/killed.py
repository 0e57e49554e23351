"""A job whose process can be killed: real time, the simulated engine, many rows a second."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scheduler.batch.budget.goals import Goals
from scheduler.batch.ended import JobEnded
from scheduler.batch.run import Job
from tests.scheduler.batch.jobs import FIXED, PRICED, settings


class Quiet:
    def advance(self, note: str = "") -> None:
        pass


@contextmanager
def bar(what: str, total: int, done: int) -> Iterator[Quiet]:
    yield Quiet()


def main(source: str, tokens: str) -> int:
    goals = Goals(tokens=int(tokens) or None)
    where = PRICED if goals else FIXED
    job = Job(settings(Path(source), where, goals=goals, concurrency=64), bar)
    try:
        job.begin()
        asyncio.run(job.run())
    except (JobEnded, ValueError) as ended:
        print(ended, file=sys.stderr)
        return getattr(ended, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
