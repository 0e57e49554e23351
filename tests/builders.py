"""Values that many tests need, made in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

from policies.base import Query
from policies.sampling import SamplingParams
from scheduler.engines.multiplex_server import MultiplexServer
from workers.completion import CompletionRequest
from workers.engine import SampleRequest

Asked = TypeVar("Asked", SampleRequest, CompletionRequest, Query)

_SAMPLING = {field.name for field in fields(SamplingParams)}


def changed(asked: Asked, **changes: Any) -> Asked:
    """The same with other fields; those of its sampling parameters by their own names."""
    sampling = {name: value for name, value in changes.items() if name in _SAMPLING}
    others = {name: value for name, value in changes.items() if name not in _SAMPLING}
    return replace(asked, sampling=replace(asked.sampling, **sampling), **others)


class ManualClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def call_open(server: MultiplexServer, call: int) -> Iterator[None]:
    """A call that runs on a replica within the block."""
    server.open(call)
    try:
        yield
    finally:
        server.close(call)
