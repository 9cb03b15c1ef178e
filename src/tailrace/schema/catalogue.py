"""What the database holds now, read in a few statements. Touches: PostgreSQL's catalogue, read-only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Table

from tailrace.errors import SchemaError
from tailrace.schema.connection import Connection
from tailrace.schema.declarations import schema_of

__all__ = ["Catalogue", "IndexFound", "Recorded", "read_catalogue", "refuse_unfit"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of ``tailrace.objects``."""

    definition_hash: str
    state: str


@dataclass(frozen=True, slots=True)
class IndexFound:
    """An index that exists; ``valid`` is False for what an interrupted build left."""

    table: str
    valid: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A picture of the database."""

    installed: bool
    """Whether all of Tailrace's own objects are there; an older version may have made only some."""
    recorded: Mapping[tuple[str, str], Recorded]
    tables: Mapping[str, str]
    """``schema.name`` -> relkind, with ``partition`` or ``inherits`` for tables that are part of others."""
    triggers: Mapping[tuple[str, str], tuple[str, bool]]
    """(``schema.table``, trigger) -> (its function's body, whether it fires normally)."""
    indexes: Mapping[tuple[str, str], IndexFound]
    guaranteed: frozenset[tuple[str, str, str]]
    """(child table, child column, parent table) of single-column foreign keys that are valid and checked at once."""
    leading_columns: frozenset[tuple[str, str]]
    """(table, column) that a valid, complete index begins with."""
    logs: frozenset[str] = frozenset()
    """Names of the logs of differences that are folded."""
    extensions: frozenset[str] = frozenset()
    """Names of the extensions that are there."""

    def with_new(self, tables: Collection[str]) -> Catalogue:
        """As it will be when ``tables`` (``schema.name``) have been made anew: there, and bare."""
        return replace(
            self,
            tables={**self.tables, **dict.fromkeys(tables, "r")},
            triggers={key: held for key, held in self.triggers.items() if key[0] not in tables},
            indexes={key: found for key, found in self.indexes.items() if f"{key[0]}.{found.table}" not in tables},
        )


_TABLES = """
SELECT n.nspname || '.' || c.relname AS name,
       CASE WHEN c.relispartition THEN 'partition'
            WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid) THEN 'inherits'
            ELSE c.relkind::text END AS kind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_TRIGGERS = """
SELECT n.nspname || '.' || c.relname AS name, t.tgname, p.prosrc, t.tgenabled = 'O' AS fires
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
WHERE NOT t.tgisinternal AND f.nspname = 'tailrace'
"""
_INDEXES = """
SELECT n.nspname AS schema, i.relname, c.relname AS owner, x.indisvalid AND x.indisready AS valid
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
JOIN pg_class c ON c.oid = x.indrelid
WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast')
"""
_FOREIGN_KEYS = """
SELECT cn.nspname || '.' || c.relname AS child, a.attname AS column, pn.nspname || '.' || p.relname AS parent
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND k.convalidated AND NOT k.condeferrable AND cardinality(k.conkey) = 1
  AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
"""
_LEADING = """
SELECT n.nspname || '.' || c.relname AS name, a.attname
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
WHERE x.indisvalid AND x.indpred IS NULL
"""
_LOGS = """
SELECT l.name FROM tailrace.delta_logs l
JOIN pg_class c ON c.relname = l.name AND c.relnamespace = 'tailrace'::regnamespace
JOIN pg_proc p ON p.proname = 'fold ' || l.name AND p.pronamespace = 'tailrace'::regnamespace
WHERE NOT l.retired
"""
# The newest of Tailrace's own objects: where they are, all of them are.
_INSTALLED = """
SELECT to_regprocedure('tailrace.outbox_remove(bigint[], xid8[], text)') IS NOT NULL AND EXISTS (
    SELECT FROM pg_constraint WHERE conrelid = to_regclass('tailrace.objects') AND conname = 'objects_kind_check'
    AND pg_get_constraintdef(oid) LIKE '%summary%')
"""


async def read_catalogue(connection: Connection) -> Catalogue:
    """Read it. Cost: 10 round trips."""
    made = await connection.fetchval("SELECT to_regclass('tailrace.objects') IS NOT NULL")
    installed = await connection.fetchval(_INSTALLED)
    objects = await connection.fetch("SELECT kind, name, definition_hash, state FROM tailrace.objects") if made else []
    logs = await connection.fetch(_LOGS) if installed else []
    return Catalogue(
        installed=installed,
        recorded={(r["kind"], r["name"]): Recorded(r["definition_hash"], r["state"]) for r in objects},
        tables={r["name"]: r["kind"] for r in await connection.fetch(_TABLES)},
        triggers={(r["name"], r["tgname"]): (r["prosrc"], r["fires"]) for r in await connection.fetch(_TRIGGERS)},
        indexes={
            (r["schema"], r["relname"]): IndexFound(r["owner"], r["valid"]) for r in await connection.fetch(_INDEXES)
        },
        guaranteed=frozenset((r["child"], r["column"], r["parent"]) for r in await connection.fetch(_FOREIGN_KEYS)),
        leading_columns=frozenset((r["name"], r["attname"]) for r in await connection.fetch(_LEADING)),
        logs=frozenset(r["name"] for r in logs),
        extensions=frozenset(r["extname"] for r in await connection.fetch("SELECT extname FROM pg_extension")),
    )


def refuse_unfit(catalogue: Catalogue, tables: Iterable[Table]) -> None:
    """Refuse tables whose writes statement triggers would not all see.

    Raises:
        SchemaError: a table is missing, a view, partitioned or inherits.
    """
    for table in tables:
        name = f"{schema_of(table)}.{table.name}"
        kind = catalogue.tables.get(name)
        if kind is None:
            raise SchemaError(f"{name} does not exist: run the service's migrations first")
        if kind != "r":
            what = {"p": "partitioned", "partition": "a partition", "inherits": "part of an inheritance tree"}
            raise SchemaError(
                f"{name} is {what.get(kind, 'not an ordinary table')}: writes may reach its rows without firing its "
                "statement triggers, so it can be neither watched nor rolled up"
            )
