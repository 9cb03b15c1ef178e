"""``tailrace.objects``: what is recorded of everything that Tailrace keeps, and how far it is. Touches: PostgreSQL."""

from __future__ import annotations

from typing import Any

from tailrace.schema.connection import Connection, Database, connect
from tailrace.schema.log_upkeep import pending_rows

__all__ = ["ready_rollups", "record", "status"]


async def record(connection: Connection, kind: str, name: str, wanted: str, state: str) -> None:
    """Note an object's definition and state in ``tailrace.objects``."""
    await connection.execute(
        "INSERT INTO tailrace.objects (kind, name, definition_hash, state) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (kind, name) DO UPDATE SET definition_hash = excluded.definition_hash, state = excluded.state, "
        "changed_at = clock_timestamp()",
        kind, name, wanted, state,
    )  # fmt: skip


async def ready_rollups(database: Database) -> frozenset[str]:
    """``schema.name`` of the rollups that may be read: built, kept by triggers, not abandoned."""
    return frozenset(o["name"] for o in await status(database) if o["kind"] == "rollup" and o["state"] == "ready")


async def status(database: Database) -> list[dict[str, Any]]:
    """Everything Tailrace keeps: ``kind, name, state, definition_hash, changed_at``; empty before the first apply.

    ``pending`` is how many differences wait to be folded into a rollup that is kept by them, otherwise None.
    """
    async with connect(database) as connection:
        if not await connection.fetchval("SELECT to_regclass('tailrace.objects') IS NOT NULL"):
            return []
        rows = await connection.fetch(
            "SELECT kind, name, state, definition_hash, changed_at FROM tailrace.objects ORDER BY kind, name"
        )
        logged = await connection.fetchval("SELECT to_regclass('tailrace.delta_logs') IS NOT NULL")
        pending = await pending_rows(connection) if logged else {}
    return [{**row, "pending": pending.get(row["name"]) if row["kind"] == "rollup" else None} for row in rows]
