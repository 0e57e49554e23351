"""The settings of spans, `[tracing]` in a server's."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.settings import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class TracingConfig:
    """OpenTelemetry spans of queries, rounds, engine calls and chains (docs/serving.md)."""

    endpoint: str | None = Field(
        default=None,
        description="Send spans here, by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`."
        " Default: none are made.",
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="Share of the queries that are traced, 0 to 1. A caller's `traceparent` wins.",
    )

    def __post_init__(self) -> None:
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint must begin with http:// or https://, got {self.endpoint!r}")
