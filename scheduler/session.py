"""A controller in this process, without Ray: for batch jobs, experiments and single questions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from policies import build
from scheduler.config import ServeConfig
from scheduler.controller import Controller
from scheduler.curvebook import CurveBook
from scheduler.engines import make_engine


@asynccontextmanager
async def local_controller(config: ServeConfig) -> AsyncIterator[Controller]:
    """Starts the engine, and ends it with the block."""
    policy = build(config.policy.name, **config.policy_options)
    engine = make_engine(config.engine)
    try:
        yield Controller(
            engine=engine,
            info=await engine.info(),
            policy=policy,
            book=CurveBook(config.price),
            price=config.price,
        )
    finally:
        await engine.close()
