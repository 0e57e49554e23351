"""What can be read of a job by its output, while it runs and afterwards."""

import json
from collections.abc import Iterator
from typing import Any

from scheduler.batch.asking import output_line
from scheduler.batch.budget.passes import PassLogs
from scheduler.batch.durability.output import Output
from scheduler.batch.storage import Location


def results(out: Location) -> Iterator[bytes]:
    """The answers so far. Those of a job with a budget may still get better."""
    yield from Output(out).answers.lines()
    logs = PassLogs(out)
    if (latest := logs.latest) is not None:
        for line in logs.newest(latest):
            record = json.loads(line)
            yield output_line(record["custom_id"], record["reply"]).encode()


def failures(out: Location) -> Iterator[bytes]:
    output = Output(out)
    for line in output.read_failures():
        yield json.dumps(line).encode()


def status(out: Location) -> dict[str, Any]:
    """Raises ValueError where no job writes there."""
    manifest = Output(out).read_manifest()
    if manifest is None:
        raise ValueError(f"{out} is the output of no batch job")
    state: dict[str, Any] = manifest.get("state", {})
    return state
