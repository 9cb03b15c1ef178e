"""Create the aggregate that makes one search vector of a call's turns, one after the other."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE AGGREGATE tsvector_agg (tsvector) (SFUNC = tsvector_concat, STYPE = tsvector, INITCOND = '')",
    )


def downgrade() -> None:
    op.execute("DROP AGGREGATE tsvector_agg (tsvector)")
