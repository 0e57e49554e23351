"""Reaches the models of a curation: endpoints over HTTP, or an engine in this process."""

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
    engine = EngineConfig(kind=endpoint.engine, model=endpoint.model)
    async with answering(ServeConfig(engine=engine, policy=PolicyConfig(name="fixed"))) as answer:
        yield answer
