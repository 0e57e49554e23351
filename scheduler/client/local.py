"""A controller in this process, without Ray: for batch jobs, experiments and single questions."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from scheduler.config import ServeConfig
from scheduler.curves.query_classes import QueryClasses
from scheduler.curves.wal import DurableCurveStore
from scheduler.engines.factory import make_engine
from scheduler.engines.verifier import make_verifier
from scheduler.policy_file import build_policy
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from scheduler.store.curve_snapshots import put_snapshot
from scheduler.store.opening import storing
from scheduler.tracing.spans import make_spans
from scheduler.tracing.traced import traced
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool
from workers.engine import Engine


@asynccontextmanager
async def local_controller(
    config: ServeConfig, *, engine: Engine | None = None
) -> AsyncIterator[Controller]:
    """Starts an engine unless one is given, and ends it with the block.

    What is learned is kept in the file of curves, where the settings name one. Raises ValueError
    when another process writes that file.
    """
    policy = build_policy(config.policy.name, **config.policy_options)
    path = Path(config.curves) if config.curves else None
    curves = DurableCurveStore(path, round_tokens=config.pricing.round_tokens)
    spans = make_spans(config.tracing, config.engine.model)
    engine, pool = traced(engine or make_engine(config.engine), spans), MathPool()
    try:
        async with storing(config.store) as store:
            controller = Controller(
                engine=engine,
                spans=spans,
                info=await engine.info(),
                policy=policy,
                curves=curves,
                pricing=Pricing.of(config.pricing),
                classes=QueryClasses.load(Path(config.classes)) if config.classes else None,
                grader=Grader(pool),
                answer_specs=config.answer_specs,
                verifier=make_verifier(config.verifier, config.engine),
                store=store,
            )
            yield controller
            if store is not None:
                await put_snapshot(controller.curves, store, name=uuid.uuid4().hex)
    finally:
        await engine.close()
        await pool.close()
        if path is not None:
            curves.close()


@asynccontextmanager
async def answering(
    where: ServeConfig | str, *, api_key: str | None = None
) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
    """What answers request bodies: a controller with these settings, or the endpoint at a URL."""
    if isinstance(where, ServeConfig):
        from scheduler.api.chat import complete

        async with local_controller(where) as controller:
            yield partial(complete, controller)
        return
    from scheduler.client.http_client import Client

    client = Client(where, api_key=api_key)
    try:
        yield client.answer
    finally:
        await client.close()
