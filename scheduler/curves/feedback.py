"""Labels that come after the reply: which answer they are about, and whether they may count.

Answers of late are kept in memory, bounded in number and in time. An id cannot be guessed, and is
good only for the key that asked. Each answer is labelled once. How many labels an hour one key may
give is bounded, so that nobody steers the curves alone; an administrator's key has no bound.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass as settings

from scheduler.curves.records import LabelRecord, ObservationRecord
from scheduler.settings import STRICT

HOUR = 3600.0

FeedbackStatus = Literal["learned", "noted", "repeated", "unknown", "conflict", "limited"]


@settings(frozen=True, slots=True, config=STRICT)
class FeedbackConfig:
    """Answers kept for labels that come later."""

    kept: Annotated[int, Field(ge=0)] = Field(
        default=10_000, description="How many answers are kept."
    )
    kept_seconds: Annotated[float, Field(gt=0, le=30 * 86_400)] = Field(
        default=86_400.0, description="For so long they are kept."
    )
    labels_per_hour: Annotated[int, Field(ge=0)] = Field(
        default=1000, description="The most labels that one key may give in an hour."
    )


class PendingFeedback(NamedTuple):
    """An answer that a label may come for; without a `record` nothing is learned from it."""

    outcome: str
    key: str
    answer: str | None
    record: ObservationRecord | None


class Label(NamedTuple):
    """What somebody says of an answer: `reward` is 1 for right, 0 for wrong, or between."""

    outcome: str
    key: str
    reward: float
    is_bounded: bool = False


class FeedbackResult(NamedTuple):
    """`record` is what is to be learned; `retry_after` is in seconds, where the bound is
    reached.
    """

    status: FeedbackStatus
    record: LabelRecord | None = None
    retry_after: float = 0.0


@dataclass(slots=True)
class _Kept:
    answered: PendingFeedback
    until: float
    reward: float | None = None


class Feedback:
    """The answers that labels may come for, and how many labels each key has given."""

    def __init__(
        self, config: FeedbackConfig | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config or FeedbackConfig()
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._labels: dict[str, deque[float]] = {}

    @property
    def count(self) -> int:
        """Answers that are kept, with and without a label."""
        return len(self._kept)

    def remember(self, answered: PendingFeedback) -> None:
        now = self._clock()
        self._kept[answered.outcome] = _Kept(answered, now + self.config.kept_seconds)
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if len(self._kept) <= self.config.kept and oldest.until > now:
                break
            self._kept.popitem(last=False)

    def judge(self, label: Label) -> FeedbackResult:
        """What to make of a label; it is kept unless it is refused."""
        now = self._clock()
        kept = self._kept.get(label.outcome)
        if kept is None or kept.until <= now or kept.answered.key != label.key:
            return FeedbackResult("unknown")
        if kept.reward is not None:
            return FeedbackResult("repeated" if kept.reward == label.reward else "conflict")
        if label.is_bounded and (seconds := self._wait(label.key, now)) > 0:
            return FeedbackResult("limited", retry_after=seconds)
        kept.reward = label.reward
        record, answer = kept.answered.record, kept.answered.answer
        if record is None or answer is None or record.observation.right:
            return FeedbackResult("noted")
        learned = LabelRecord(record.model, record.observation, answer, label.reward)
        return FeedbackResult("learned", learned)

    def _wait(self, key: str, now: float) -> float:
        """Seconds until the key may give another label; if 0, this label is counted."""
        given = self._labels.setdefault(key, deque())
        while given and given[0] <= now - HOUR:
            given.popleft()
        if len(given) >= self.config.labels_per_hour:
            return given[0] + HOUR - now if given else HOUR
        given.append(now)
        return 0.0
