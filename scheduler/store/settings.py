"""The settings of the store, `[store]` in a server's."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.settings import STRICT

Days = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, config=STRICT)
class StoreConfig:
    """Where outcomes, labels, curve snapshots and batch jobs are kept (docs/store.md)."""

    url: str | None = Field(
        default=None,
        description="Keep outcomes here: a SQLite file (`sqlite:///outcomes.db`) or a PostgreSQL "
        "database (`postgresql://USER@HOST/NAME`).",
    )
    texts: bool = Field(
        default=False,
        description="Keep questions and answers too. Without them answers are only told apart.",
    )
    spool: str | None = Field(
        default=None,
        description="Folder of what is not in the store yet. Default: FILE.spool beside a SQLite "
        "file, else `thinkbudget.spool`.",
    )
    spool_mib: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1024.0,
        description="MiB of the spool of one process; what comes on top is dropped, and counted.",
    )
    days: Days = Field(default=30.0, description="Days that outcomes and decisions are kept.")
    rollup_days: Days = Field(
        default=730.0, description="Days that the sums by day, class, policy and plan are kept."
    )
    snapshot_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=3600.0, description="Seconds between two snapshots of the learned curves."
    )
