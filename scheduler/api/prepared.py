"""A checked request, ready to be answered: what every route makes, and every reply is made from."""

from typing import NamedTuple

from policies.base import Policy, Query
from scheduler.api.protocol import ChatRequest
from scheduler.solving.effort import Effort


class PreparedQuery(NamedTuple):
    """`ignored` are the fields that were not heeded, by name; `clipped` is a cap on thinking that
    was asked for, where the context has less room.
    """

    request: ChatRequest
    query: Query
    policy: Policy
    effort: Effort | None = None
    clipped: int | None = None
    ignored: tuple[str, ...] = ()
    #: Unix time in seconds, the same in all chunks of a stream.
    created: int = 0

    @property
    def tenant(self) -> str:
        return self.request.tenant

    @property
    def learns(self) -> bool:
        return self.request.thinkbudget.learn

    @property
    def shows_progress(self) -> bool:
        return self.request.thinkbudget.progress

    @property
    def is_dry_run(self) -> bool:
        return self.request.thinkbudget.dry_run
