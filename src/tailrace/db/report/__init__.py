"""A database's health in one look: sizes, dead rows, indexes, connections, slow statements, and what to do.

Touches: the database, reading only; some ten statements over the catalogue and the server's counters, and an EXPLAIN
(never ANALYZE) of each slow statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from tailrace.db.database import Database
from tailrace.db.errors import translated
from tailrace.db.report.advice import advise
from tailrace.db.report.figures import (
    Advice,
    ConnectionCount,
    DatabaseReport,
    IndexFigures,
    MissingForeignKeyIndex,
    SlowStatement,
    TableFigures,
)
from tailrace.errors import DatabaseError, DatabaseUnavailableError

__all__ = ["Advice", "DatabaseReport", "SlowStatement", "database_report"]

PLANNED = 10
"""Statements whose plan is shown."""
PREPARED = "tailrace_report"
"""Name under which a statement is prepared for its plan, within one transaction."""
_PARAMETER = re.compile(r"\$(\d{1,5})")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


async def database_report(database: Database, *, statements: int = 20, plans: bool = True) -> DatabaseReport:
    """Look at one database.

    Args:
        statements: how many of the slowest, by the time of all their calls.
        plans: whether the plans of the first ten are asked for; the server plans them, and runs nothing.

    Raises:
        DatabaseError: one of its kinds.

    Cost: milliseconds for hundreds of tables; every user may do it, and sees of others' statements what the server lets
    them see (role ``pg_read_all_stats`` for all).
    """
    (about,) = await _rows(database, "database")
    slow = await _slow_statements(database, statements)
    if slow is not None and plans:
        slow = [replace(s, plan=await _plan(database, s.statement)) for s in slow[:PLANNED]] + slow[PLANNED:]
    tables = [TableFigures(**row._mapping) for row in await _rows(database, "tables")]
    indexes = [IndexFigures(**row._mapping) for row in await _rows(database, "indexes")]
    keys = [
        MissingForeignKeyIndex(row.table, row.constraint, tuple(row.columns), row.rows)
        for row in await _rows(database, "foreign_keys")
    ]
    connections = [ConnectionCount(**row._mapping) for row in await _rows(database, "connections")]
    report = DatabaseReport(
        database=about.name,
        version=about.version,
        bytes=about.bytes,
        counted_since=about.counted_since,
        hit_share=about.hit_share,
        max_connections=about.max_connections,
        transaction_age=about.transaction_age,
        tables=tables,
        indexes=indexes,
        unindexed_foreign_keys=keys,
        connections=connections,
        statements=slow,
    )
    return replace(report, advice=advise(report, datetime.now(UTC)))


@lru_cache(maxsize=1)
def _queries() -> Mapping[str, str]:
    parts = _NAME.split(files("tailrace.db.report").joinpath("queries.sql").read_text())
    return {name: query.strip().rstrip(";") for name, query in zip(parts[1::2], parts[2::2], strict=True)}


async def _rows(database: Database, name: str) -> Sequence[Row[Any]]:
    return await database.fetch(text(_queries()[name]))


async def _slow_statements(database: Database, limit: int) -> list[SlowStatement] | None:
    """The slowest statements, None where the server does not count them or does not show them to this role."""
    where = await _rows(database, "statements_schema")
    if not where:
        return None
    query = _queries()["statements"].replace("{schema}", where[0].schema)
    try:
        rows = await database.fetch(text(query), {"limit": limit})
    except DatabaseUnavailableError:
        raise
    except (DatabaseError, DBAPIError):  # not loaded, another version, or not this role's to read
        return None
    return [SlowStatement(**row._mapping) for row in rows]


async def _plan(database: Database, statement: str) -> str | None:
    """The plan that the server makes without knowing the parameters, None if it does not make one.

    EXPLAIN takes the values that a driver sends for the parameters into account, so a prepared statement it is.
    """
    number = max((int(found) for found in _PARAMETER.findall(statement)), default=0)
    unknown = f" ({', '.join(['NULL'] * number)})" if number else ""
    try:
        with translated():
            async with database.engine.connect() as connection:
                run = connection.exec_driver_sql
                await run("SET LOCAL statement_timeout = '2s'")
                await run("SET LOCAL plan_cache_mode = force_generic_plan")
                await run(f"PREPARE {PREPARED} AS {statement}")
                try:
                    async with connection.begin_nested():
                        return "\n".join(row[0] for row in await run(f"EXPLAIN EXECUTE {PREPARED}{unknown}"))
                finally:
                    await run(f"DEALLOCATE {PREPARED}")
    except (DatabaseError, ProgrammingError):  # others' tables, or parameters whose types it cannot tell
        return None
