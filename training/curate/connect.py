"""Reaches the models of a curation: endpoints over HTTP, an engine in this process, a program."""

import importlib
import inspect
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scheduler.client.local import answering
from scheduler.config import EngineConfig, PolicyConfig, ServeConfig
from training.curate.asking import Answer
from training.curate.settings import Endpoint


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator[Answer]:
    """What answers request bodies, as the batch command has it."""
    if endpoint.url is not None:
        async with answering(endpoint.url, api_key=os.environ.get(endpoint.api_key_env)) as answer:
            yield answer
        return
    if endpoint.engine == "python":
        yield program(endpoint.model)
        return
    engine = EngineConfig(kind=endpoint.engine, model=endpoint.model)
    async with answering(ServeConfig(engine=engine, policy=PolicyConfig(name="fixed"))) as answer:
        yield answer


def program(name: str) -> Answer:
    """The async function at "module:function". Raises ValueError that names it."""
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise ValueError(f'model {name!r} of the engine "python" must be "module:function"')
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model {name!r} cannot be loaded: {error}") from None
    if not inspect.iscoroutinefunction(found):
        raise ValueError(f"model {name!r} is no async function")
    answer: Answer = found
    return answer
