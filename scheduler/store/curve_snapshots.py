"""What was learned, kept in the store from time to time, to look back at.

The curve store itself stays in its own files: a report of a gateway is confirmed in microseconds
by its write-ahead log, and must not wait for a database that may be away.
"""

import asyncio
import time
from typing import Any, Protocol

from scheduler.store.records import Recorder, curves_record


class Curves(Protocol):
    """What is learned, as a gateway has it."""

    async def export(self) -> dict[str, Any]:
        """`CurveStore.as_dict`. Raises ConnectionError where the curve store is away."""


async def keep_snapshots(curves: Curves, recorder: Recorder, seconds: float) -> None:
    """Put a snapshot so often, for ever. Gateways that do so at the same time put one."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await put_snapshot(
                curves, recorder, name=f"every-{seconds:g}-{time.time() // seconds:.0f}"
            )
        except ConnectionError:
            continue  # there is one next time


async def put_snapshot(curves: Curves, recorder: Recorder, *, name: str) -> None:
    """Put what is learned now, if anything is, under a name that counts once."""
    learned = [
        {"model": line["model"], "class": line["class"], "curve": line["curve"]}
        for line in (await curves.export())["classes"]
        if line["curve"] is not None
    ]
    if learned:
        recorder.put(curves_record(name, learned))
