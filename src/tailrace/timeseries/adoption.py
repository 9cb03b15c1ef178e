"""A table that is there already becomes a series: its rows move over. Touches: PostgreSQL.

All in one transaction: whoever reads or writes the table waits until its rows have moved, and should anything be in the
way, it stays as it was. What hangs on the table by its identity and not by its name, as views, foreign keys of others
and triggers do, is such an obstacle; Tailrace's own triggers are made anew. Its privileges are given to the new table,
and its numbers go on. Its indexes and unique constraints are those that are declared.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

import asyncpg

from tailrace.errors import SchemaError
from tailrace.schema.connection import Connection
from tailrace.schema.sql_text import identifier, literal, qualified, short_name
from tailrace.timeseries.plain_sql import PlainSql

__all__ = ["check_fit", "move_in", "put_aside"]

_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""
_OBSTACLES = """
SELECT format('the trigger %s', tgname) AS obstacle FROM pg_trigger
WHERE tgrelid = $1::text::regclass AND NOT tgisinternal AND NOT starts_with(tgname, 'tailrace_')
UNION ALL
SELECT format('the policy %s', polname) FROM pg_policy WHERE polrelid = $1::text::regclass
"""
_NAMED = """
SELECT 'INDEX' AS kind, n.nspname, c.relname FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = $1::text::regclass
UNION ALL
SELECT 'SEQUENCE', n.nspname, c.relname FROM pg_depend d
JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE d.refobjid = $1::text::regclass AND d.deptype = 'i' AND d.classid = 'pg_class'::regclass
"""
"""What a table has whose names are its schema's."""
_GRANTS = """
SELECT a.privilege_type, a.is_grantable, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = $1::text::regclass AND a.grantee <> c.relowner
"""
_ASIDE = "before the series"


async def check_fit(connection: Connection, sql: PlainSql) -> None:
    """Raise ``SchemaError`` if the table that is there could lose something by becoming the series.

    Cost: 2 round trips.
    """
    found = {row["attname"] for row in await connection.fetch(_COLUMNS, sql.sql_name)}
    differing = found ^ set(sql.table.c.keys())
    if differing:
        raise SchemaError(
            f"{sql.sql_name} exists already and is no time series; to move its rows into one, declare the columns that "
            f"it has: {', '.join(sorted(differing))}"
        )
    obstacles = [row["obstacle"] for row in await connection.fetch(_OBSTACLES, sql.sql_name)]
    if obstacles:
        raise SchemaError(f"{sql.sql_name} cannot become a time series and keep {', '.join(obstacles)}: drop it first")


async def put_aside(connection: Connection, sql: PlainSql) -> str:
    """Give the table, its indexes and sequences other names, and return the table's, quoted."""
    await connection.execute(f"LOCK TABLE {sql.sql_name} IN ACCESS EXCLUSIVE MODE")
    for kind, schema, name in await connection.fetch(_NAMED, sql.sql_name):
        renamed = identifier(short_name(f"{name} {_ASIDE}"))
        await connection.execute(f"ALTER {kind} {qualified(schema, name)} RENAME TO {renamed}")
    aside = short_name(f"{sql.table.name} {_ASIDE}")
    await connection.execute(f"ALTER TABLE {sql.sql_name} RENAME TO {identifier(aside)}")
    return qualified(sql.schema, aside)


async def move_in(connection: Connection, sql: PlainSql, aside: str) -> None:
    """Move the rows of ``aside`` (quoted), in order of time, and drop it; the series has room, and no triggers yet.

    Raises:
        SchemaError: something depends on the table.
    """
    columns = ", ".join(identifier(column.name) for column in sql.table.c)
    await connection.execute(
        f"INSERT INTO {sql.sql_name} ({columns}) OVERRIDING SYSTEM VALUE\n"
        f"SELECT {columns} FROM {aside} ORDER BY {identifier(sql.time)}"
    )
    for column in sql.table.c:
        if column.identity is not None:
            await _go_on_counting(connection, sql.sql_name, aside, column.name)
    for privilege, grantable, grantee in await connection.fetch(_GRANTS, aside):
        option = " WITH GRANT OPTION" if grantable else ""
        await connection.execute(f"GRANT {privilege} ON {sql.sql_name} TO {grantee}{option}")
    try:
        await connection.execute(f"DROP TABLE {aside}")
    except asyncpg.DependentObjectsStillExistError as error:
        raise SchemaError(f"{sql.sql_name} cannot become a time series: {error.detail or error}") from error


async def _go_on_counting(connection: Connection, table: str, aside: str, column: str) -> None:
    old = await connection.fetchval("SELECT pg_get_serial_sequence($1, $2)", aside, column)
    if old is not None:
        new = f"pg_get_serial_sequence({literal(table)}, {literal(column)})"
        await connection.execute(f"SELECT setval({new}, last_value, is_called) FROM {old}")
