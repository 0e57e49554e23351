"""Nothing in the tests may reach for a network, and no test may fail for being slow."""

import inspect
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.endpoint import Endpoint
from workers.simulated.clock import run_virtual

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
os.environ["VLLM_NO_USAGE_STATS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is quick to fail goes first; real Ray and vLLM, and what they leave behind, last."""
    items.sort(key=lambda item: item.get_closest_marker("real") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function on virtual time."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    wanted = inspect.signature(test).parameters
    run_virtual(test(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


class Kinds(LoadScopeScheduling):
    """What shares an engine shares a process, and so does what shares a cluster.

    All other tests stay together too, away from what vLLM and Ray leave behind. By file: marks of
    groups would be easier to read, but xdist 3.8 does not see them under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if any(name in file for name in ("cluster", "routing", "endpoint", "clients")):
            return "cluster"
        return "engine" if "/real/" in file or "vllm" in file else "neither"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Kinds:
    return Kinds(config, log)


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    """One for all tests that need a server."""
    served = Endpoint()
    try:
        served.wait()
        yield served
    finally:
        if served.process.poll() is None:
            served.interrupt()
