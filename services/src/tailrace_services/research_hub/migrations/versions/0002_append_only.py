"""Refuse changes of the ledger: movements are added, and neither changed nor removed.

All of it may be emptied together with all users, when the whole of the data is replaced.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION public.token_ledger_append_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' AND NOT EXISTS (SELECT FROM public.users) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'token_ledger is append-only: put an error right by another movement'
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$body$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    for name, events in (("append_only", "BEFORE UPDATE OR DELETE"), ("append_only_whole", "AFTER TRUNCATE")):
        op.execute(
            f"CREATE TRIGGER token_ledger_{name} {events} ON public.token_ledger "
            "FOR EACH STATEMENT EXECUTE FUNCTION public.token_ledger_append_only()"
        )
        # Also where replication, or somebody who says so, has switched off the others.
        op.execute(f"ALTER TABLE public.token_ledger ENABLE ALWAYS TRIGGER token_ledger_{name}")


def downgrade() -> None:
    op.execute("DROP FUNCTION public.token_ledger_append_only() CASCADE")
