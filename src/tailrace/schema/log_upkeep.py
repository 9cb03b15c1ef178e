"""Making, emptying and dropping logs of differences. Touches: PostgreSQL, on connections handed in."""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tailrace.schema.connection import Connection
from tailrace.schema.declarations import Rollup
from tailrace.schema.delta_log import drop_log, folding_function, logs_of
from tailrace.schema.rollup_sql import create_table
from tailrace.schema.sql_text import qualified

__all__ = [
    "drop_unused_logs",
    "empty_logs",
    "fold_pending",
    "keep_folders_out",
    "make_logs",
    "pending_rows",
    "replace_missing",
    "retire_log_of",
]

FOLDING = 8386099895436536932
"""Advisory lock of whoever folds ("tailfold" in ASCII); ``tailrace.fold`` in installation.sql has the same number."""
MOST = 10_000
"""Rows folded in one transaction, some 100 ms."""

# The view of a rollup that is no longer declared still reads the log it had.
UNUSED = """
SELECT l.name FROM tailrace.delta_logs l
WHERE l.name <> ALL($1::text[]) AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass
    AND d.refobjid = to_regclass('tailrace.' || quote_ident(l.name)))
"""
# A rollup's view reads exactly one log.
READERS = """
SELECT DISTINCT l.name, n.nspname || '.' || v.relname AS rollup
FROM tailrace.delta_logs l
JOIN pg_depend d ON d.refobjid = to_regclass('tailrace.' || quote_ident(l.name)) AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace n ON n.oid = v.relnamespace
"""


async def fold_pending(connection: Connection) -> None:
    """Fold what was committed when this was called, in short transactions; leave it to whoever is folding already."""
    while (await connection.fetchval("SELECT tailrace.fold($1)", MOST) or 0) >= MOST:
        pass


async def keep_folders_out(connection: Connection) -> None:
    """Nobody folds until this transaction ends. Waits for one who does, at most ``lock_timeout``."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", FOLDING)


async def replace_missing(connection: Connection, rebuilt: Iterable[Rollup]) -> None:
    """Make empty tables where those of rollups that are to be rebuilt are gone: others in their logs need folding."""
    for rollup in rebuilt:
        if rollup.maintenance == "deltas":
            await connection.execute(create_table(rollup).replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))


async def empty_logs(connection: Connection, tables: Iterable[str]) -> None:
    """Fold all that the logs of ``tables`` hold, so that none of it counts towards what is built from the rows.

    Writers of the tables and other folders must be kept out.
    """
    names = await connection.fetch(
        "SELECT name FROM tailrace.delta_logs WHERE NOT retired AND source = ANY($1::text[]) ORDER BY name",
        sorted(tables),
    )
    for row in names:
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", qualified("tailrace", row["name"])):
            while await connection.fetchval(f"SELECT {folding_function(row['name'])}($1)", 10 * MOST):
                pass


async def make_logs(connection: Connection, rollups: Iterable[Rollup], tables: set[str]) -> None:
    """Make the logs of ``tables``, have the rollups' views read them, and retire those that were emptied for good."""
    logs = [log for log in logs_of(rollups) if log.source in tables]
    read = {(row["name"], row["rollup"]) for row in await connection.fetch(READERS)}
    for log in logs:
        for text in log.create():
            await connection.execute(text)
        for rollup in log.rollups:
            if (log.name, f"{rollup.schema}.{rollup.name}") not in read:  # replacing a view waits for its readers
                await connection.execute(log.view(rollup))
    await connection.execute(
        "UPDATE tailrace.delta_logs SET retired = true WHERE source = ANY($1::text[]) AND name <> ALL($2::text[])",
        sorted(tables), [log.name for log in logs],
    )  # fmt: skip


async def retire_log_of(connection: Connection, rollup: str) -> None:
    """Stop folding what the rollup's view (``schema.name``) reads, before its tables go; triggers are gone already."""
    names = [row["name"] for row in await connection.fetch(READERS) if row["rollup"] == rollup]
    await connection.execute("UPDATE tailrace.delta_logs SET retired = true WHERE name = ANY($1::text[])", names)


async def _unused(connection: Connection, rollups: Iterable[Rollup]) -> list[str]:
    """Logs that nothing declared writes to and no view reads."""
    names = [log.name for log in logs_of(rollups)]
    return [row["name"] for row in await connection.fetch(UNUSED, names)]


async def drop_unused_logs(connection: Connection, rollups: Sequence[Rollup]) -> None:
    """Drop them. They are empty: they were folded when writers left them, or their rollups are gone."""
    for name in await _unused(connection, rollups):
        async with connection.transaction():
            for text in drop_log(name):
                await connection.execute(text)


async def pending_rows(connection: Connection) -> Mapping[str, int]:
    """How many differences wait to be folded, by rollup (``schema.name``). Cost: reads the logs."""
    found: dict[str, int] = {}
    rows = await connection.fetch(READERS)
    for name in {row["name"] for row in rows}:
        waiting = await connection.fetchval(f"SELECT count(*) FROM {qualified('tailrace', name)}")
        found |= {row["rollup"]: waiting for row in rows if row["name"] == name}
    return found
