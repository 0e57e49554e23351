"""Chains that run at the same time, as one stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable

from workers.engine import EngineEvent
from workers.sample import Sample

Emit = Callable[[EngineEvent], None]


async def side_by_side(
    runs: Iterable[Callable[[Emit], Coroutine[None, None, None]]],
) -> AsyncGenerator[EngineEvent]:
    """What the runs emit, as it comes, until each has emitted its Sample; closing ends them all."""
    events: asyncio.Queue[EngineEvent] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(events.put_nowait)) for run in runs]
        unfinished = len(tasks)
        try:
            while unfinished:
                event = await events.get()
                unfinished -= isinstance(event, Sample)
                yield event
        except GeneratorExit:
            return  # the caller has closed us: a TaskGroup would make an error of it
        finally:
            for task in tasks:
                task.cancel()
