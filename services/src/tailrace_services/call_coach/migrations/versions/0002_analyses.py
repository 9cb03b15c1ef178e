"""Create the tables of whole analyses, and of who makes one just now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_analyses",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("rubric_version", sa.Text, nullable=False),
        sa.Column("transcript_version", sa.Text, nullable=False),
        sa.Column("analysis", JSONB, nullable=False),
        sa.Column("is_current", sa.Boolean, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("analysed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="call_analyses_pkey"),
        sa.UniqueConstraint(
            "call_id",
            "rubric_version",
            "transcript_version",
            name="call_analyses_call_id_rubric_version_transcript_version_key",
        ),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="call_analyses_call_id_fkey", ondelete="CASCADE"),
    )
    op.create_table(
        "analysis_leases",
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("rubric_version", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "rubric_version", name="analysis_leases_pkey"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="analysis_leases_call_id_fkey", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("analysis_leases")
    op.drop_table("call_analyses")
