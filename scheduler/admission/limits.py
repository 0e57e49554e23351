"""How much may come in, wait and run: the limits of the HTTP API and of admission."""

import math
from dataclasses import fields, replace
from typing import Annotated, Self

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.settings import STRICT

Most = Annotated[int, Field(ge=1, le=2**53)] | None
Bytes = Annotated[int, Field(ge=1024, le=2**40)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


@dataclass(frozen=True, slots=True, config=STRICT)
class KeyLimits:
    """What one key may take. Default: as much as there is.

    Tokens are counted at their worst case while a query waits and runs, and at its real cost
    afterwards.
    """

    requests_per_minute: Most = Field(default=None, description="Requests in a minute.")
    tokens_per_minute: Most = Field(default=None, description="Tokens in a minute.")
    tokens_per_day: Most = Field(default=None, description="Tokens in a day.")
    reserved_tokens: Most = Field(
        default=None, description="Worst-case tokens of all requests of the key running at once."
    )

    def part(self, of: int) -> Self:
        """What one of so many gateways grants, so that all together grant it all."""
        if of == 1:
            return self
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{n: v and math.ceil(v / of) for n, v in values.items()})

    @property
    def tokens(self) -> int | None:
        """The most that one query may ever reserve."""
        bounds = (self.tokens_per_minute, self.tokens_per_day, self.reserved_tokens)
        return min((bound for bound in bounds if bound is not None), default=None)


@dataclass(frozen=True, slots=True, config=STRICT)
class LimitsConfig:
    """Limits of each gateway. Quotas of keys are divided by the number of gateways."""

    max_running: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Queries running at once. Default: twice the engines' chain slots.",
    )
    max_queue: Annotated[int, Field(ge=0)] = Field(default=1000, description="Queries waiting.")
    queue_seconds: Seconds = Field(default=30.0, description="Longest wait in the queue, then 429.")
    flex_queue_seconds: Seconds = Field(default=300.0, description="The same for tier flex.")
    engine_seconds: Seconds = Field(
        default=180.0,
        description="Longest wait for an engine, then 503. Longer than an engine takes to start.",
    )
    max_seconds: Seconds = Field(default=3600.0, description="Longest query, its waits included.")
    body_bytes: Bytes = Field(default=4 << 20, description="Largest request body.")
    file_bytes: Bytes = Field(default=100 << 20, description="Largest file of /v1/files.")
    held_bytes: Bytes = Field(default=256 << 20, description="All request bodies held at one time.")
    header_bytes: Bytes = Field(default=32 << 10, description="All headers of a request.")
    upload_seconds: Seconds = Field(default=30.0, description="Longest upload of a body.")
    file_seconds: Seconds = Field(default=300.0, description="Longest upload of a file.")
    per_key: KeyLimits = Field(
        default_factory=KeyLimits, description="For keys without limits of their own."
    )

    def __post_init__(self) -> None:
        if self.held_bytes < self.body_bytes:
            raise ValueError(
                f"held_bytes ({self.held_bytes}) is below body_bytes ({self.body_bytes})"
            )
