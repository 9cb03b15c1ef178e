"""Create the table of calls' conversation metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_metrics",
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("transcript_version", sa.Text, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="call_metrics_pkey"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="call_metrics_call_id_fkey", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("call_metrics")
