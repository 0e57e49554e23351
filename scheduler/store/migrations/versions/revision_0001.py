"""Outcomes, decisions, curve snapshots, labels, batch jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "outcomes",
        sa.Column("seq", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("query_class", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("propensity", sa.Float(53)),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("stop_reason", sa.Text, nullable=False),
        sa.Column("correct", sa.Boolean),
        sa.Column("chance", sa.Float(53)),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("price", sa.Float(53), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
    )
    op.create_index("outcomes_at", "outcomes", ["at"])
    op.create_table(
        "decisions",
        sa.Column(
            "outcome", sequence, sa.ForeignKey("outcomes.seq", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("chains", sa.BigInteger, nullable=False),
        sa.Column("max_thinking_tokens", sa.BigInteger),
        sa.Column("propensity", sa.Float(53)),
        sa.Column("votes_before", sa.BigInteger, nullable=False),
        sa.Column("tokens_before", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "curve_snapshots",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("classes", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
    )
    op.create_table(
        "feedback",
        sa.Column("outcome_id", sa.Text, primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("reward", sa.Float(53), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
    )
    op.create_table(
        "batch_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("updated", sa.Float(53), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("completed", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("batch_jobs", "feedback", "curve_snapshots", "decisions", "outcomes"):
        op.drop_table(table)
