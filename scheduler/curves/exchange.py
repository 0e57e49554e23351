"""What gateways and the curve store exchange, and how the curves are reached."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from policies.curves.curve import ClassCurve
from scheduler.curves.feedback import FeedbackResult, Label, PendingFeedback
from scheduler.curves.records import ObservationRecord, Record

# Model and query class.
ClassKey = tuple[str, str]


class Report(NamedTuple):
    """What one gateway has seen since its last report. Its reports are numbered from 1.

    `answered` are the answers since then that labels may come for.
    """

    writer: str
    number: int
    records: list[Record]
    answered: tuple[PendingFeedback, ...] = ()


class CurveUpdate(NamedTuple):
    """The curves that changed since the version that the reader had.

    Versions count within one epoch of the store: a reader with curves of another epoch gets all.
    """

    epoch: str
    version: int
    curves: dict[ClassKey, ClassCurve]


class PackedUpdate(NamedTuple):
    """A `CurveUpdate` between processes: the curves are packed (scheduler/curves/packing.py)."""

    epoch: str
    version: int
    curves: dict[ClassKey, bytes]


class CurveSource(Protocol):
    """The curves as a controller uses them: in its own process, or a cache of the shared store."""

    def curve(self, model: str, query_class: str) -> ClassCurve | None: ...

    def sizes(self, model: str) -> Mapping[str, float]:
        """The queries that the curve of each class of a model stands on."""

    def observe(self, record: ObservationRecord) -> None: ...

    def remember(self, answered: PendingFeedback) -> None:
        """Keep an answer for its label."""

    async def label(self, label: Label) -> FeedbackResult: ...

    async def export(self) -> dict[str, Any]: ...


class SharedCurveStore(Protocol):
    """The one curve store, in another process. Raises ConnectionError while it is away."""

    async def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate: ...

    async def label(self, label: Label) -> FeedbackResult: ...

    async def export(self) -> dict[str, Any]: ...
