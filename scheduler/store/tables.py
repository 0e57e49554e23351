"""The tables of the store. The newest migration makes exactly these.

An outcome's `payload` is its whole line as JSON text; the columns beside it are what is searched
and summed. `at` is in seconds since 1970, by the clock of whoever wrote the line; `seq` is the
order in which the store took outcomes in, and is what readers order by.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

METADATA: Final = MetaData()
# SQLite counts up an INTEGER key only.
_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=False)


def _number(name: str) -> Column[float]:
    return Column(name, Float(53), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


OUTCOMES: Final = Table(
    "outcomes",
    METADATA,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    _number("at"),
    _text("model"),
    _text("query_class"),
    _text("policy"),
    _text("plan"),
    Column("propensity", Float(53)),
    _text("tenant"),
    _text("stop_reason"),
    Column("correct", Boolean),
    Column("chance", Float(53)),
    _count("tokens"),
    _number("seconds"),
    _number("price"),
    _text("payload"),
    Index("outcomes_at", "at"),
)
"""One row an answered query. `plan` is "" where the policy has none."""

DECISIONS: Final = Table(
    "decisions",
    METADATA,
    Column("outcome", ForeignKey("outcomes.seq", ondelete="CASCADE"), primary_key=True),
    Column("step", Integer, primary_key=True),
    _text("kind"),
    _count("chains"),
    Column("max_thinking_tokens", BigInteger),
    Column("propensity", Float(53)),
    _count("votes_before"),
    _count("tokens_before"),
)
"""One row a decision of a query, in their order."""

CURVE_SNAPSHOTS: Final = Table(
    "curve_snapshots",
    METADATA,
    _text("id", key=True),
    _number("at"),
    _count("classes"),
    _text("payload"),
)

FEEDBACK: Final = Table(
    "feedback",
    METADATA,
    _text("outcome_id", key=True),
    _number("at"),
    _number("reward"),
    _text("tenant"),
    _text("source"),
)
"""Labels that came after the reply: `reward` is from 0 (wrong) to 1 (right)."""

BATCH_JOBS: Final = Table(
    "batch_jobs",
    METADATA,
    _text("id", key=True),
    _number("at"),
    _number("updated"),
    _text("state"),
    _count("total"),
    _count("completed"),
    _count("failed"),
    _count("tokens"),
    _text("payload"),
)

ROLLUPS: Final = Table(
    "rollups",
    METADATA,
    _text("day", key=True),
    _text("model", key=True),
    _text("query_class", key=True),
    _text("policy", key=True),
    _text("plan", key=True),
    _count("outcomes"),
    _count("tokens"),
    _number("seconds"),
    _count("predicted"),
    _number("chance"),
    _count("labelled"),
    _number("reward"),
)
"""Sums of outcomes by day (UTC), which outlive them.

`chance` is the sum over the `predicted` ones, `reward` that over the `labelled` ones.
"""

ROLLUP_KEY: Final = tuple(column.name for column in ROLLUPS.primary_key)
ROLLUP_SUMS: Final = tuple(column.name for column in ROLLUPS.columns if not column.primary_key)
