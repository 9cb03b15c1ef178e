"""What has to be done about one summary, and how far it is from its rows. Touches: PostgreSQL, read-only."""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from datetime import datetime
from typing import Any

from tailrace.errors import SchemaError
from tailrace.schema.connection import Connection
from tailrace.schema.planner import Action
from tailrace.schema.reconciliation import SHOWN
from tailrace.schema.sql_text import identifier
from tailrace.timeseries.declarations import DAY
from tailrace.timeseries.partitions import Span
from tailrace.timeseries.plain_sql import PlainSql
from tailrace.timeseries.summary_sql import SummarySql

__all__ = ["compare", "what_to_do"]

_RECORDED = "SELECT definition_hash, state FROM tailrace.objects WHERE kind = 'summary' AND name = $1"


async def what_to_do(connection: Connection, summary: SummarySql, oldest: datetime | None) -> tuple[Action, str] | None:
    """What to do and why; None if it is as declared.

    Args:
        connection: where.
        summary: its text.
        oldest: where rows may begin; None if there are none.

    Raises:
        SchemaError: a table of its name is somebody else's, or making it anew would lose days whose rows are gone.
    """
    known = await connection.fetchval("SELECT to_regclass('tailrace.objects') IS NOT NULL")
    recorded = await connection.fetchrow(_RECORDED, summary.name) if known else None
    exists = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", summary.sql_name)
    if recorded is None and exists:
        raise SchemaError(f"{summary.name} exists already and is not Tailrace's: choose another name or drop it")
    if recorded is None:
        return "create", "new"
    if not exists:
        return "rebuild", "it is gone"
    if recorded["definition_hash"] != summary.definition_hash:
        before = f"SELECT EXISTS (SELECT FROM {summary.sql_name} WHERE {DAY} < coalesce($1, 'infinity'::timestamptz))"
        if await connection.fetchval(before, oldest):
            raise SchemaError(
                f"summary {summary.name} holds days whose rows are gone, and its definition changed: give the new one "
                "another name"
            )
        return "rebuild", "its definition changed"
    return None if recorded["state"] == "ready" else ("resume", "its filling was interrupted")


async def compare(
    connection: Connection, sql: PlainSql, summary: SummarySql, span: Span
) -> tuple[int, list[dict[str, Any]]]:
    """How many keys in ``span`` are not what the rows say, and the first of them: what is kept, and what they say.

    Cost: aggregates the rows in ``span``, in one snapshot.
    """
    keys = ", ".join(identifier(name) for name in summary.summary.key)
    names = [stored.column for stored in summary.stored]
    both = " OR ".join(f"k.{identifier(name)} IS DISTINCT FROM l.{identifier(name)}" for name in names)
    values = ", ".join(f"k.{identifier(n)} AS {identifier(f'kept {n}')}, l.{identifier(n)}" for n in names)
    live, kept = sql.both_sides(summary, span)
    found = await connection.fetch(
        f"SELECT {keys}, {values} FROM ({live}) l FULL JOIN ({kept}) k USING ({keys}) WHERE {both} ORDER BY {keys}"
    )
    return len(found), [dict(record) for record in found[:SHOWN]]
