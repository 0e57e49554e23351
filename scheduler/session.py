"""A controller in this process, without Ray: for batch jobs, experiments and single questions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from policies import build
from scheduler.access import AccessConfig
from scheduler.api.keys import read_keys
from scheduler.config import EngineConfig, PolicyConfig, ScalingConfig, ServeConfig
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
    max_replicas: int | None = None,
    keys: str | None = None,
    insecure_no_auth: bool = False,
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
            access=AccessConfig(keys=keys, insecure_no_auth=insecure_no_auth),
            scaling=None if max_replicas is None else ScalingConfig(max_replicas),
            **serving,
        )
    )


def checked(config: ServeConfig) -> ServeConfig:
    """Refuse what could not start, or not go on from its files, before anything is started."""
    check(config.engine)
    build(config.policy.name, **config.policy_options)
    if config.access.keys is not None:
        # Gateways need not run in the folder that this process runs in.
        keys = Path(config.access.keys).resolve()
        read_keys(keys)
        config = replace(config, access=replace(config.access, keys=str(keys)))
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
            book=CurveBook(round_tokens=config.pricing.round_tokens),
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
