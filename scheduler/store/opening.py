"""What a server's settings say of its store, checked before it starts; and its writer."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from scheduler.store.settings import StoreConfig

if TYPE_CHECKING:
    from scheduler.store.writer import StoreWriter

log = logging.getLogger("thinkbudget")

# A job that ends, or a gateway that leaves, gives the store so long.
LAST_SECONDS = 10.0


def absolute_store(config: StoreConfig) -> StoreConfig:
    """The settings with places that do not depend on the folder. Raises ValueError."""
    if config.url is None:
        return config
    from scheduler.store.connect import file_of, parse_url, require_local
    from scheduler.store.writer import spool_of

    url = parse_url(config.url)
    if (path := file_of(url)) is not None:
        require_local(path)
    text = url.render_as_string(hide_password=False)
    return replace(config, url=text, spool=str(spool_of(config)))


def is_file(config: StoreConfig) -> bool:
    """Whether the store is a SQLite file, which one process has to own."""
    if config.url is None:
        return False
    from scheduler.store.connect import file_of, parse_url

    return file_of(parse_url(config.url)) is not None


def require_store(config: StoreConfig, wait_seconds: float = 0.0) -> None:
    """Make the store if it is empty. Raises ValueError for another schema, or an owner that stays.

    A store that is away is only logged: lines are spooled until it is there.
    """
    if config.url is None:
        return
    from scheduler.store.outcome_store import OutcomeStore, StoreAway
    from scheduler.store.owner import StoreOwned

    until = time.monotonic() + wait_seconds
    while True:
        try:
            OutcomeStore(config.url).close()
        except StoreAway as error:
            log.warning("the store is away, outcomes will be spooled: %s", error)
        except StoreOwned:
            if time.monotonic() >= until:
                raise
            time.sleep(0.1)
            continue
        return


@asynccontextmanager
async def storing(config: StoreConfig) -> "AsyncIterator[StoreWriter | None]":
    """A writer to a store that this process owns, for the block; None without a store.

    Raises ValueError where another process owns it, or its schema is another one.
    What the store does not take in the end stays in the spool, for the next process.
    """
    if config.url is None:
        yield None
        return
    from scheduler.store.sink import StoreSink
    from scheduler.store.writer import StoreWriter

    await asyncio.to_thread(require_store, config)
    writer = StoreWriter(config, StoreSink(config))
    running = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        if not await writer.flush(LAST_SECONDS):
            log.warning(
                "%d outcomes stay in %s, for the next process that opens the store",
                writer.counts.waiting,
                config.spool,
            )
        await writer.close()
