"""Nothing in the tests may reach for a network, and no test may fail for being slow."""

import inspect
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.by_folder import SHARED, ByFolder, group_of
from tests.endpoint import Endpoint
from workers.simulated.clock import run_virtual

MONTH = 30 * 86_400.0

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
os.environ["VLLM_NO_USAGE_STATS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Ray's workers of the lowest priority would get nothing beside the engine of another test.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is quick to fail goes first; real Ray and vLLM, and what they leave behind, last."""
    for item in items:
        if is_real(item) != (group_of(item.nodeid) is not None):
            folders = ", ".join(SHARED)
            raise pytest.UsageError(f"{item.nodeid}: tests marked so belong into {folders}")
    items.sort(key=is_real)


def is_real(item: pytest.Item) -> bool:
    """Whether it may start or import Ray or vLLM."""
    return any(item.get_closest_marker(marker) for marker in ("real", "thorough"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function on virtual time."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    wanted = inspect.signature(test).parameters
    run_virtual(test(**{name: pyfuncitem.funcargs[name] for name in wanted}), latest=MONTH)
    return True


HEAVY = ("ray", "vllm")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a unit test that imports Ray or vLLM: it would make the quick tests slow."""
    before = {name for name in HEAVY if name in sys.modules}
    yield
    imported = {name for name in HEAVY if name in sys.modules} - before
    if imported and not is_real(item):
        pytest.fail(f"{item.nodeid} imports {imported} and is not marked real", pytrace=False)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    return ByFolder(config, log)


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
