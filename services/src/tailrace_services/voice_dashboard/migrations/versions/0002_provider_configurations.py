"""Keep the provider's configurations in a table of their own, so that refreshing one changes no agent."""

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
        "provider_configurations",
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("configuration", JSONB, nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_id", name="provider_configurations_pkey"),
    )
    op.execute(
        "INSERT INTO provider_configurations (external_id, configuration, fetched_at) "
        "SELECT external_id, configuration, configuration_fetched_at FROM agents WHERE configuration IS NOT NULL"
    )
    op.drop_constraint(op.f("agents_configuration_check"), "agents", type_="check")
    op.drop_column("agents", "configuration")
    op.drop_column("agents", "configuration_fetched_at")


def downgrade() -> None:
    op.add_column("agents", sa.Column("configuration", JSONB))
    op.add_column("agents", sa.Column("configuration_fetched_at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE agents SET configuration = p.configuration, configuration_fetched_at = p.fetched_at "
        "FROM provider_configurations p WHERE p.external_id = agents.external_id"
    )
    op.create_check_constraint(
        op.f("agents_configuration_check"),
        "agents",
        "(configuration IS NULL) = (configuration_fetched_at IS NULL)",
    )
    op.drop_table("provider_configurations")
