"""Which partitions of a series there are. Touches: PostgreSQL's catalogue, read-only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.errors import SchemaError
from tailrace.schema.connection import Connection
from tailrace.schema.sql_text import qualified
from tailrace.timeseries.partitions import Span

__all__ = [
    "EXPIRED",
    "SHRUNKEN",
    "Partition",
    "Standing",
    "abandoned_partitions",
    "are_partitions",
    "lock_series",
    "partitions_of",
]

Standing = Literal["absent", "ordinary", "series"]
"""What there is of a series: nothing, a table that can become one, or all of it."""
SHRUNKEN = "tailrace: shrunken"
"""Comment on a partition that was rewritten to take less room."""
EXPIRED = "tailrace: expired"
"""Comment on a partition that is about to be dropped, so that whoever comes after a crash knows it by that."""

_PARTITIONS = r"""
SELECT n.nspname, c.relname, i.inhdetachpending AS detaching, obj_description(c.oid, 'pg_class') AS comment,
       b.bounds[1]::timestamptz AS starts, b.bounds[2]::timestamptz AS ends
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)')) b (bounds)
WHERE i.inhparent = $1::text::regclass ORDER BY starts
"""
_ABANDONED = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname ~ $2 AND c.relkind = 'r' AND NOT c.relispartition
  AND obj_description(c.oid, 'pg_class') = $3
"""
_ATTACHED = """
SELECT count(*) FROM pg_inherits WHERE inhparent = $1::text::regclass AND NOT inhdetachpending
  AND inhrelid IN (SELECT to_regclass(name) FROM unnest($2::text[]) AS name)
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """One that is there.

    Args:
        sql_name: its quoted name.
        span: the moments that it holds.
        state: ``detaching`` was begun and interrupted.
    """

    sql_name: str
    span: Span
    state: Literal["open", "shrunken", "detaching"]


async def partitions_of(connection: Connection, series: str) -> list[Partition]:
    """The partitions of ``series`` (its quoted name), in order of time. Cost: 1 round trip.

    Raises:
        SchemaError: one of them has no bounds: it would take rows that are out of range, and nobody would know.
    """
    found = []
    for row in await connection.fetch(_PARTITIONS, series):
        name = qualified(row["nspname"], row["relname"])
        if row["starts"] is None:
            raise SchemaError(f"{name} takes whatever no other partition of {series} does: detach it")
        state = "detaching" if row["detaching"] else "shrunken" if row["comment"] == SHRUNKEN else "open"
        found.append(Partition(name, Span(row["starts"], row["ends"]), state))  # type: ignore[arg-type]
    return found


async def are_partitions(connection: Connection, series: str, names: list[str]) -> bool:
    """Whether all tables of the quoted ``names`` are partitions of ``series``. Cost: 1 round trip."""
    return bool(await connection.fetchval(_ATTACHED, series, names) == len(names))


async def abandoned_partitions(connection: Connection, schema: str, table: str) -> list[str]:
    """Quoted names of former partitions that were to be dropped and still are there."""
    rows = await connection.fetch(_ABANDONED, schema, f"^{table}_[0-9]{{8}}$", EXPIRED)
    return [qualified(row["nspname"], row["relname"]) for row in rows]


async def lock_series(connection: Connection, series: str) -> None:
    """Until this transaction ends, nobody else makes partitions of ``series``."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"tailrace series {series}")
