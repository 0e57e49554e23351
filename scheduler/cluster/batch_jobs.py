"""Batch jobs by Ray's Jobs API. Imports ray.

A job is judged by its status and by the exit code of its driver: the stream of its log may end
while it runs.
"""

import asyncio
import shlex
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

from ray.job_submission import JobStatus, JobSubmissionClient

ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)
POLL_SECONDS = 2.0
NO_AGENT = "No available agent"
"""What a cluster says that has just begun: none of its nodes takes jobs yet."""
AGENT_SECONDS = 90.0
"""For so long it is asked again."""


class JobState(NamedTuple):
    """`exit_code` is that of the driver; None until it has ended, or where nobody knows."""

    job: str
    status: str
    exit_code: int | None
    message: str

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class RayJobs:
    """The jobs of a cluster, by the address of its dashboard."""

    def __init__(self, address: str) -> None:
        """Raises ConnectionError where no cluster answers."""
        self._client = JobSubmissionClient(address)

    def submit(
        self,
        arguments: Sequence[str],
        *,
        job: str,
        runtime_env: dict[str, Any] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> str:
        """Start `thinkbudget ARGUMENTS` on the cluster. Raises ValueError where it is refused."""
        # The arguments are quoted here, and never put together as text elsewhere.
        entrypoint = shlex.join(["python", "-m", "thinkbudget", *arguments])
        until = time.monotonic() + AGENT_SECONDS
        while True:
            try:
                return str(
                    self._client.submit_job(
                        entrypoint=entrypoint,
                        submission_id=job,
                        runtime_env=runtime_env,
                        metadata=metadata,
                    )
                )
            except RuntimeError as error:
                if NO_AGENT not in str(error) or time.monotonic() > until:
                    why = _last_line(error)
                    raise ValueError(f"the cluster refuses the job: {why}") from error
            time.sleep(1.0)

    def state(self, job: str) -> JobState:
        """Raises ValueError for a job that the cluster does not know."""
        try:
            found = self._client.get_job_info(job)
        except RuntimeError as error:
            raise ValueError(f"job {job!r} is not known: {_last_line(error)}") from error
        code = found.driver_exit_code
        return JobState(job, str(found.status), code, found.message or "")

    def stop(self, job: str) -> bool:
        """Its driver gets SIGTERM. False where it had ended."""
        self.state(job)
        return bool(self._client.stop_job(job))

    def logs(self, job: str) -> str:
        self.state(job)
        return str(self._client.get_job_logs(job))

    def follow(self, job: str, show: Callable[[str], None]) -> JobState:
        """Show the log until the job has ended, however often the stream breaks off."""
        shown = 0

        async def tail() -> None:
            nonlocal shown
            skip, lines = shown, self._client.tail_job_logs(job)
            async with aclosing(_closable(lines)) as pieces:
                async for piece in pieces:
                    new = piece[skip:] if skip < len(piece) else ""
                    skip = max(0, skip - len(piece))
                    shown += len(new)
                    if new:
                        show(new)

        while not (state := self.state(job)).has_ended:
            if state.status == JobStatus.RUNNING:
                with suppress(RuntimeError, OSError):
                    asyncio.run(tail())
            time.sleep(POLL_SECONDS)
        if rest := self.logs(job)[shown:]:
            show(rest)
        return state


async def _closable(pieces: Any) -> AsyncGenerator[str]:
    async for piece in pieces:
        yield piece


def _last_line(error: Exception) -> str:
    """What a reply of the cluster comes to: it is a traceback, with a full stop behind it."""
    lines = [line for line in str(error).splitlines() if any(map(str.isalnum, line))]
    return lines[-1][:300] if lines else type(error).__name__
