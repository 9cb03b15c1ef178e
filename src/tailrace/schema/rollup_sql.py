"""The SQL of one rollup: its table, and what a set of rows contributes to it. Pure.

A contribution is a SELECT that yields key columns and measures; adding it to the table is one
``INSERT ... ON CONFLICT DO UPDATE SET m = t.m + excluded.m`` in key order. Everything else (insert, update, delete,
backfill, repair, raw edges of a window) is a different set of rows with a sign.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table
from sqlalchemy import types as sqltypes

from tailrace.schema.declarations import Rollup, StoredMeasure, schema_of
from tailrace.schema.sql_text import identifier, literal, qualified, render, short_name, type_name

__all__ = [
    "PARENT",
    "SIGN",
    "SOURCE",
    "Rows",
    "add",
    "columns_of_key",
    "contribution",
    "contribution_of_one",
    "create_table",
    "folded_name",
    "folded_table",
    "key_expressions",
    "live_rows",
    "measure_column",
    "table_name",
]

SOURCE = "s"
"""Alias of the source's rows in every generated statement."""
PARENT = "p"
"""Alias of the parent's rows."""
SIGN = "tailrace_sign"
"""Column that says whether a row counts (1) or is taken away (-1)."""

FILLFACTOR = 75
"""Per cent of a page filled at first: the rest lets updates stay on their page (HOT), which touches no index."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A set of source rows: ``sql`` goes into FROM and names them ``s`` (and the parent ``p``).

    ``sign`` is 1 or -1 for all of them, or None when each carries its own in ``s.tailrace_sign``.
    """

    sql: str
    sign: int | None


def table_name(rollup: Rollup) -> str:
    """What readers of the rollup name, quoted: its table, or where it is kept by differences, its view."""
    return qualified(rollup.schema, rollup.name)


def folded_name(schema: str, name: str) -> str:
    """The table in the schema ``tailrace`` that holds what was folded of a rollup kept by differences."""
    return short_name(f"folded {schema}.{name}")


def folded_table(rollup: Rollup) -> str:
    """The table, quoted, to which figures are added."""
    if rollup.maintenance == "immediate":
        return table_name(rollup)
    return qualified("tailrace", folded_name(rollup.schema, rollup.name))


def create_table(rollup: Rollup) -> str:
    """The rollup's table. Its key is primary where no part of it can be NULL, and otherwise unique with NULLs equal."""
    lines = [f"{identifier(column)} {kind}{null}" for column, kind, null in columns_of_key(rollup)]
    lines += [measure_column(stored) for stored in rollup.stored]
    keys = ", ".join(identifier(column) for column in rollup.key)
    nullable = any(not null for _, _, null in columns_of_key(rollup))
    lines.append(f"UNIQUE NULLS NOT DISTINCT ({keys})" if nullable else f"PRIMARY KEY ({keys})")
    body = ",\n    ".join(lines)
    return f"CREATE TABLE {folded_table(rollup)} (\n    {body}\n) WITH (fillfactor = {FILLFACTOR})"


def columns_of_key(rollup: Rollup) -> list[tuple[str, str, str]]:
    """Name, type and NOT NULL of each key column."""
    types = {"date": ("date", " NOT NULL"), "hour": ("smallint", " NOT NULL")}
    for name, expression in rollup.dimensions.items():
        required = getattr(expression, "nullable", True) is False
        types[name] = (type_name(expression), " NOT NULL" if required else "")
    return [(name, *types[name]) for name in rollup.key]


def measure_column(stored: StoredMeasure) -> str:
    """Definition of one measure's column."""
    column = identifier(stored.column)
    return f"{column} {stored.sql_type} NOT NULL DEFAULT 0"


def _aliases(rollup: Rollup) -> dict[Table, str]:
    return {rollup.source: SOURCE} if rollup.parent is None else {rollup.source: SOURCE, rollup.parent: PARENT}


def key_expressions(rollup: Rollup) -> dict[str, str]:
    """Each key column as an expression over ``s`` and ``p``."""
    aliases = _aliases(rollup)
    moment = render(rollup.time, aliases)
    with_zone = isinstance(rollup.time.type, sqltypes.DateTime) and rollup.time.type.timezone
    local = f"({moment} AT TIME ZONE {literal(rollup.time_zone)})" if with_zone else moment
    found = {name: render(expression, aliases) for name, expression in rollup.dimensions.items()}
    found["date"] = f"{local}::date"
    found["hour"] = f"extract(hour FROM {local})::smallint"
    return {name: found[name] for name in rollup.key}


def _condition(rollup: Rollup) -> str:
    # A row without a time, or at infinity, lies on no day; no window with finite ends holds it either.
    aliases = _aliases(rollup)
    parts = [f"isfinite({render(rollup.time, aliases)})"]
    if rollup.where is not None:
        parts.append(f"({render(rollup.where, aliases)})")
    return " AND ".join(parts)


def _measure(rollup: Rollup, stored: StoredMeasure, sign: int | None) -> str:
    aliases = _aliases(rollup)
    conditions = [] if stored.where is None else [render(stored.where, aliases)]
    value = None if stored.value is None else render(stored.value, aliases)
    if stored.counts and sign is not None:
        text = f"count({value or '*'})"
    elif stored.counts:
        if value is not None:
            conditions.append(f"{value} IS NOT NULL")
        text = f"sum({SOURCE}.{SIGN})"
    else:
        text = f"sum({value})" if sign is not None else f"sum({SOURCE}.{SIGN} * {value})"
    if conditions:
        text += f" FILTER (WHERE {' AND '.join(f'({c})' for c in conditions)})"
    if not (stored.counts and sign is not None):
        text = f"coalesce({text}, 0)"
    return f"-{text}" if sign == -1 else text


def _measure_of_one(rollup: Rollup, stored: StoredMeasure, sign: int) -> str:
    aliases = _aliases(rollup)
    conditions = [] if stored.where is None else [f"({render(stored.where, aliases)})"]
    value = None if stored.value is None else render(stored.value, aliases)
    if stored.counts and value is not None:
        conditions.append(f"{value} IS NOT NULL")
    required = getattr(stored.value, "nullable", True) is False
    text = "1" if stored.counts else f"{value}" if required else f"coalesce({value}, 0)"
    if conditions:
        text = f"CASE WHEN {' AND '.join(conditions)} THEN {text} ELSE 0 END"
    return f"-{text}" if sign == -1 else text


def _finite(stored: StoredMeasure, measure: str) -> str:
    """``measure``, or NULL, which the column refuses, if it is an infinity or NaN: those can never be taken away again.

    A CHECK would do, but PostgreSQL reads and compiles its stored text again in every statement: 20 µs of the 105 that
    keeping two rollups of two such figures cost a single-row insert.
    """
    if stored.counts or stored.value is None or isinstance(stored.value.type, sqltypes.Integer):
        return measure
    return f"CASE WHEN scale({measure}) IS NOT NULL THEN {measure} END"


def contribution_of_one(rollup: Rollup, rows: Rows) -> str:
    """`contribution` of rows that are one at most: nothing to group and no order to keep."""
    assert rows.sign is not None
    measures = [_finite(stored, _measure_of_one(rollup, stored, rows.sign)) for stored in rollup.stored]
    chosen = ", ".join([*key_expressions(rollup).values(), *measures])
    return f"SELECT {chosen}\nFROM {rows.sql}\nWHERE {_condition(rollup)}"


def contribution(rollup: Rollup, rows: Rows) -> str:
    """SELECT what ``rows`` add to the rollup, one row a key, in key order.

    Rows of mixed sign yield only keys for which something changes.
    """
    keys = list(key_expressions(rollup).values())
    measures = [_measure(rollup, stored, rows.sign) for stored in rollup.stored]
    positions = ", ".join(str(n) for n in range(1, len(keys) + 1))
    figures = [_finite(stored, measure) for stored, measure in zip(rollup.stored, measures, strict=True)]
    text = f"SELECT {', '.join(keys + figures)}\nFROM {rows.sql}\nWHERE {_condition(rollup)}\nGROUP BY {positions}"
    if rows.sign is None:
        text += "\nHAVING " + " OR ".join(f"{measure} <> 0" for measure in measures)
    return f"{text}\nORDER BY {positions}"


def add(rollup: Rollup, select: str) -> str:
    """Add what ``select`` yields to the rollup's table. Locks its rows in the order in which they come."""
    keys = ", ".join(identifier(column) for column in rollup.key)
    columns = ", ".join(identifier(stored.column) for stored in rollup.stored)
    sums = ",\n    ".join(
        f"{identifier(s.column)} = t.{identifier(s.column)} + excluded.{identifier(s.column)}" for s in rollup.stored
    )
    return (
        f"INSERT INTO {folded_table(rollup)} AS t ({keys}, {columns})\n{select}\n"
        f"ON CONFLICT ({keys}) DO UPDATE SET\n    {sums}"
    )


def live_rows(rollup: Rollup, condition: Sequence[str] = ()) -> Rows:
    """All rows of the source (with their parents), each counting once."""
    source = f"{qualified(schema_of(rollup.source), rollup.source.name)} {SOURCE}"
    if condition:
        source = f"(SELECT * FROM {source} WHERE {' AND '.join(condition)}) {SOURCE}"
    if rollup.parent_link is None:
        return Rows(source, 1)
    link = rollup.parent_link
    parent = qualified(schema_of(link.parent), link.parent.name)
    on = f"{PARENT}.{identifier(link.parent_column)} = {SOURCE}.{identifier(link.column)}"
    return Rows(f"{source} JOIN {parent} {PARENT} ON {on}", 1)
