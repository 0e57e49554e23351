"""A controller in this process, without Ray: for batch jobs, experiments and single questions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from policies import build
from scheduler.config import EngineConfig, PolicyConfig, ServeConfig
from scheduler.controller import Controller
from scheduler.curvebook import CurveBook
from scheduler.engines import check, make_engine
from scheduler.journal import load
from scheduler.pricing import Pricing
from scheduler.query_classes import QueryClasses


def settings(
    *,
    model: str,
    kind: str,
    format_: str | None,
    max_model_len: int | None,
    policy: str,
    price: float,
    answer_tokens: int,
    tensor_parallel_size: int = 1,
    **serving: Any,
) -> ServeConfig:
    """Flags as settings, checked."""
    engine = EngineConfig(
        kind=kind,
        model=model,
        format=format_,
        max_model_len=max_model_len,
        tensor_parallel_size=tensor_parallel_size,
    )
    return checked(
        ServeConfig(
            engine=engine,
            policy=PolicyConfig(policy),
            price=price,
            answer_tokens=answer_tokens,
            **serving,
        )
    )


def checked(config: ServeConfig) -> ServeConfig:
    """Refuse what could not start, or not go on from its files, before anything is started."""
    check(config.engine)
    build(config.policy.name, **config.policy_options)
    if config.classes is not None:
        QueryClasses.load(Path(config.classes))
    if config.curves is not None and Path(config.curves).is_file():
        load(Path(config.curves))
    return config


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
            book=CurveBook(),
            pricing=Pricing.of(config.pricing),
            classes=QueryClasses.load(Path(config.classes)) if config.classes else None,
        )
    finally:
        await engine.close()


@asynccontextmanager
async def answering(
    where: ServeConfig | str,
) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
    """What answers request bodies: a controller with these settings, or the endpoint at a URL."""
    if isinstance(where, ServeConfig):
        from scheduler.api.chat import complete

        async with local_controller(where) as controller:
            yield partial(complete, controller)
        return
    from scheduler.client import Client

    client = Client(where)
    try:
        yield client.answer
    finally:
        await client.close()
