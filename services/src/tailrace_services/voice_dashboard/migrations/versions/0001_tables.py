"""Create the service's tables, with primary keys, unique constraints and foreign keys and no other index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_users()
    _create_agents()
    _create_calls()
    _create_lead_analytics()
    _create_dataset()
    _create_campaign_imports()


def downgrade() -> None:
    for table in ("campaign_imports", "dataset", "lead_analytics", "calls", "agents", "users"):
        op.drop_table(table)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False)


def _moment(name: str = "created_at") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def _create_users() -> None:
    op.create_table(
        "users",
        _identity(),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("api_key_hash", sa.Text, nullable=False),
        sa.Column("credits", sa.Numeric(14, 2), nullable=False, server_default=sa.text("0")),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("email", name="users_email_key"),
    )


def _create_agents() -> None:
    op.create_table(
        "agents",
        _identity(),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
        _moment(),
        sa.Column("configuration", JSONB),
        sa.Column("configuration_fetched_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="agents_pkey"),
        sa.UniqueConstraint("external_id", name="agents_external_id_key"),
        sa.UniqueConstraint("id", "user_id", name="agents_id_user_id_key"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="agents_user_id_fkey", ondelete="RESTRICT"),
        sa.CheckConstraint("status IN ('active', 'draft', 'paused')", name=op.f("agents_status_check")),
        sa.CheckConstraint(
            "(configuration IS NULL) = (configuration_fetched_at IS NULL)", name=op.f("agents_configuration_check")
        ),
    )


def _create_calls() -> None:
    op.create_table(
        "calls",
        _identity(),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("agent_id", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("duration_minutes", sa.Numeric(10, 3), nullable=False, server_default=sa.text("0")),
        sa.Column("credits_used", sa.Numeric(14, 2), nullable=False, server_default=sa.text("0")),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="calls_pkey"),
        sa.ForeignKeyConstraint(
            ["agent_id", "user_id"],
            ["agents.id", "agents.user_id"],
            name="calls_agent_id_user_id_fkey",
            ondelete="RESTRICT",
        ),
        sa.CheckConstraint(
            "status IN ('completed', 'failed', 'no_answer', 'busy', 'in_progress')", name=op.f("calls_status_check")
        ),
        sa.CheckConstraint("duration_minutes >= 0", name=op.f("calls_duration_minutes_check")),
        sa.CheckConstraint("credits_used >= 0", name=op.f("calls_credits_used_check")),
    )


def _create_lead_analytics() -> None:
    op.create_table(
        "lead_analytics",
        _identity(),
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("total_score", sa.SmallInteger, nullable=False),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="lead_analytics_pkey"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="lead_analytics_call_id_fkey", ondelete="CASCADE"),
        sa.CheckConstraint("total_score BETWEEN 0 AND 100", name=op.f("lead_analytics_total_score_check")),
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.SmallInteger, nullable=False, server_default=sa.text("1"), autoincrement=False),
        sa.Column("scale", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("anchor", sa.DateTime(timezone=True), nullable=False),
        sa.Column("users", sa.Integer, nullable=False),
        sa.Column("agents", sa.Integer, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("leads", sa.BigInteger, nullable=False),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="dataset_pkey"),
        sa.CheckConstraint("id = 1", name=op.f("dataset_single_check")),
    )


def _create_campaign_imports() -> None:
    op.create_table(
        "campaign_imports",
        _identity(),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("rows_imported", sa.BigInteger, nullable=False),
        sa.Column("rows_rejected", sa.BigInteger, nullable=False),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="campaign_imports_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="campaign_imports_user_id_fkey", ondelete="RESTRICT"),
    )
