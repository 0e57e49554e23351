"""Sums of outcomes by day, class, policy and plan, made of the outcomes that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = ("day", "model", "query_class", "policy", "plan")
DAYS = {
    "sqlite": "date(at, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}


def upgrade() -> None:
    op.create_table(
        "rollups",
        *(sa.Column(name, sa.Text, primary_key=True) for name in KEY),
        sa.Column("outcomes", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("predicted", sa.BigInteger, nullable=False),
        sa.Column("chance", sa.Float(53), nullable=False),
        sa.Column("labelled", sa.BigInteger, nullable=False),
        sa.Column("reward", sa.Float(53), nullable=False),
    )
    day = DAYS[op.get_bind().dialect.name].replace("(at", "(o.at")
    reward = "CASE WHEN o.correct THEN 1.0 WHEN NOT o.correct THEN 0.0 ELSE f.reward END"
    op.execute(
        f"""
        INSERT INTO rollups
        SELECT {day}, o.model, o.query_class, o.policy, o.plan, count(*), sum(o.tokens),
               sum(o.seconds), count(o.chance), coalesce(sum(o.chance), 0.0),
               count({reward}), coalesce(sum({reward}), 0.0)
        FROM outcomes AS o LEFT JOIN feedback AS f ON f.outcome_id = o.id
        GROUP BY 1, 2, 3, 4, 5
        """
    )


def downgrade() -> None:
    op.drop_table("rollups")
