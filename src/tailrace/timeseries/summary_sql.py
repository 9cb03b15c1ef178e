"""The SQL of one daily summary. Pure: text only.

Two ways lead to the same figures. `merge` adds what new rows contribute; `recompute` aggregates whole keys afresh, for
rows that went or changed: a least value that is taken away cannot be replaced without looking.

Both lock the summary's rows in key order before they write, and what `recompute` reads it reads after it has its locks,
in a newer snapshot. So of two writers of a key the second sees all that the first did: if it merges, it adds to the
first one's figures; if it recomputes, the first one's rows are committed and count. A row that is inserted but not yet
merged when a key is recomputed does not count then, and is merged by its own writer when the lock comes free. Under
REPEATABLE READ and SERIALIZABLE a key that changed since the snapshot ends the second with a serialization error (one
that is gone since then, because it is locked first: `lock_known`), and one that did not change has no newer rows.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Numeric, Table
from sqlalchemy.types import TypeEngine

from tailrace.errors import SchemaError
from tailrace.schema.declarations import schema_of
from tailrace.schema.rollup_sql import SOURCE
from tailrace.schema.sql_text import definition_hash, identifier, qualified, refuse_unstable, render, type_name
from tailrace.timeseries.declarations import DAY, DailySummary, Extreme, Figure

__all__ = ["FILLFACTOR", "StoredFigure", "SummarySql", "day_of", "summary_table"]

FILLFACTOR = 75
"""Per cent of a page filled at first: the rest lets updates stay on their page (HOT), which touches no index."""
Merge = Literal["add", "least", "greatest", "first", "last"]


@dataclass(frozen=True, slots=True)
class StoredFigure:
    """One column of a summary: what it holds of a set of rows, and how two sets' come together."""

    column: str
    type: TypeEngine[Any]
    sql_type: str
    aggregate: str
    merge: Merge
    moment: str | None = None
    """The column that says when, of a first or last value."""


def day_of(moment: str) -> str:
    """The beginning of the UTC day of ``moment``."""
    return f"date_trunc('day', {moment}, 'UTC')"


@dataclass(frozen=True)
class SummarySql:
    """One summary of one series.

    Args:
        table: the series' table.
        time: its column that says when.
        summary: the declaration.
    """

    table: Table
    time: str
    summary: DailySummary

    @property
    def name(self) -> str:
        """``schema.name``."""
        return f"{schema_of(self.table)}.{self.summary.name}"

    @property
    def sql_name(self) -> str:
        """The same, quoted."""
        return qualified(schema_of(self.table), self.summary.name)

    @property
    def definition_hash(self) -> str:
        """Changes when the table or the meaning of its figures does."""
        return definition_hash(self.create(), *(figure.aggregate for figure in self.stored))

    @cached_property
    def stored(self) -> tuple[StoredFigure, ...]:
        """The columns beside the key; one of them counts the rows."""
        columns = [c for name, figure in self.summary.figures.items() for c in self._columns(name, figure)]
        if self.summary.row_count not in self.summary.figures:
            columns.append(StoredFigure(self.summary.row_count, BigInteger(), "bigint", "count(*)", "add"))
        return tuple(columns)

    def _columns(self, name: str, figure: Figure) -> list[StoredFigure]:
        where = [] if figure.where is None else [f"({self._text(figure.where)})"]
        value = None if figure.of is None else self._text(figure.of)
        if figure.kind == "count":
            return [
                StoredFigure(name, BigInteger(), "bigint", f"count({value or '*'}){_filter(where)}", "add"),
            ]
        if figure.kind == "sum":
            total = f"coalesce(sum({value}){_filter(where)}, 0)::numeric"
            return [StoredFigure(name, Numeric(), "numeric", total, "add")]
        assert isinstance(figure, Extreme)
        kind, sql_type = figure.of.type, type_name(figure.of)
        least = figure.kind in ("minimum", "first")
        function = "min" if least else "max"
        merge: Merge = "least" if least else "greatest"
        if figure.kind in ("minimum", "maximum"):
            return [StoredFigure(name, kind, sql_type, f"{function}({value}){_filter(where)}", merge)]
        moment = f"{SOURCE}.{identifier(self.time)}"
        known = _filter([f"{value} IS NOT NULL", *where])
        direction = "" if least else " DESC"
        chosen = f"(array_agg({value} ORDER BY {moment}{direction}, {value}{direction}){known})[1]"
        when = f"{name}_at"
        return [
            StoredFigure(name, kind, sql_type, chosen, "first" if least else "last", when),
            StoredFigure(when, DateTime(timezone=True), "timestamptz", f"{function}({moment}){known}", merge),
        ]

    def _text(self, expression: object) -> str:
        text = render(expression, {self.table: SOURCE})  # type: ignore[arg-type]
        refuse_unstable(text, f"summary {self.summary.name}")
        return text

    def create(self) -> str:
        """The summary's table."""
        lines = [f"{identifier(name)} {type_name(self.table.c[name])} NOT NULL" for name in self.summary.by]
        lines.append(f"{DAY} timestamptz NOT NULL")
        required = {"add": " NOT NULL DEFAULT 0"}
        lines += [f"{identifier(s.column)} {s.sql_type}{required.get(s.merge, '')}" for s in self.stored]
        lines.append(f"PRIMARY KEY ({self._keys()})")
        body = ",\n    ".join(lines)
        return f"CREATE TABLE {self.sql_name} (\n    {body}\n) WITH (fillfactor = {FILLFACTOR})"

    def aggregate(self, rows: str, condition: str = "", *, day: str | None = None) -> str:
        """SELECT key and figures of ``rows``, which are named ``s``; ``day`` is another way to say a row's day."""
        figures = ", ".join(f"{stored.aggregate} AS {identifier(stored.column)}" for stored in self.stored)
        values = self._key_of_row() if day is None else (*self._key_of_row()[:-1], day)
        keys = ", ".join(f"{e} AS {identifier(n)}" for n, e in zip(self.summary.key, values, strict=True))
        where = f"\nWHERE {condition}" if condition else ""
        positions = ", ".join(str(n) for n in range(1, len(self.summary.key) + 1))
        return f"SELECT {keys}, {figures}\nFROM {rows}{where}\nGROUP BY {positions}"

    def keys_of(self, *rows: str) -> str:
        """SELECT the keys of rows in ``rows``, each once."""
        keys = ", ".join(f"{e} AS {identifier(n)}" for n, e in zip(self.summary.key, self._key_of_row(), strict=True))
        return " UNION ".join(f"SELECT DISTINCT {keys} FROM {source} {SOURCE}" for source in rows)

    def merge(self, rows: str) -> str:
        """Add what the rows of ``rows`` contribute, in key order."""
        columns = ", ".join(identifier(stored.column) for stored in self.stored)
        merged = ",\n    ".join(f"{identifier(s.column)} = {_merged(s)}" for s in self.stored)
        return (
            f"INSERT INTO {self.sql_name} AS t ({self._keys()}, {columns})\n{self.aggregate(f'{rows} {SOURCE}')}\n"
            f"ORDER BY {self._keys()}\nON CONFLICT ({self._keys()}) DO UPDATE SET\n    {merged}"
        )

    def lock_known(self, touched: str) -> str:
        """Lock the keys of the query ``touched`` that the transaction's snapshot shows: fails if one is gone since."""
        return (
            f"PERFORM FROM {self.sql_name} t WHERE ({self._keys()}) IN ({touched}) ORDER BY {self._keys()} FOR UPDATE"
        )

    def recompute(self, touched: str, rows: str) -> list[str]:
        """Statements that make every key of the query ``touched`` what ``rows`` (the series' table) hold of it now.

        To run in one transaction; each sees what was committed before it began.
        """
        zero = ", ".join(
            f"{identifier(s.column)} = {'0' if s.merge == 'add' else 'NULL'}" for s in self.stored
        )  # fmt: skip
        columns = [identifier(stored.column) for stored in self.stored]
        match = " AND ".join(
            f"k.{identifier(name)} = {text}" for name, text in zip(self.summary.key, self._key_of_row(), strict=True)
        )
        moment = f"{SOURCE}.{identifier(self.time)}"
        # The two bounds are there for the planner: it leaves out the partitions that they exclude.
        bounds = (
            f"{moment} >= (SELECT min({DAY}) FROM touched) AND {moment} < (SELECT max({DAY}) FROM touched) "
            f"+ interval '24 hours' AND EXISTS (SELECT FROM touched k WHERE {match})"
        )
        fresh = f"WITH touched AS MATERIALIZED ({touched}),\nfresh AS ({self.aggregate(f'{rows} {SOURCE}', bounds)})\n"
        same = " AND ".join(f"t.{identifier(name)} = f.{identifier(name)}" for name in self.summary.key)
        gone = " AND ".join(f"t.{identifier(name)} = k.{identifier(name)}" for name in self.summary.key)
        return [
            f"INSERT INTO {self.sql_name} AS t ({self._keys()})\n"
            f"SELECT {self._keys()} FROM ({touched}) k ORDER BY {self._keys()}\n"
            f"ON CONFLICT ({self._keys()}) DO UPDATE SET {zero}",
            f"{fresh}UPDATE {self.sql_name} t SET {', '.join(f'{c} = f.{c}' for c in columns)}\n"
            f"FROM fresh f WHERE {same}",
            f"DELETE FROM {self.sql_name} t USING ({touched}) k WHERE {gone} "
            f"AND t.{identifier(self.summary.row_count)} = 0",
        ]

    def _keys(self) -> str:
        return ", ".join(identifier(name) for name in self.summary.key)

    def _key_of_row(self) -> Sequence[str]:
        return (
            *(f"{SOURCE}.{identifier(name)}" for name in self.summary.by),
            day_of(f"{SOURCE}.{identifier(self.time)}"),
        )


def _filter(conditions: Sequence[str]) -> str:
    return f" FILTER (WHERE {' AND '.join(conditions)})" if conditions else ""


def _merged(stored: StoredFigure) -> str:
    old, new = f"t.{identifier(stored.column)}", f"excluded.{identifier(stored.column)}"
    if stored.merge == "add":
        return f"{old} + {new}"
    if stored.merge in ("least", "greatest"):
        return f"{stored.merge}({old}, {new})"
    assert stored.moment is not None
    old_moment, new_moment = f"t.{identifier(stored.moment)}", f"excluded.{identifier(stored.moment)}"
    sign = "<" if stored.merge == "first" else ">"
    better = f"{old_moment} IS NULL OR ({new_moment}, {new}) {sign} ({old_moment}, {old})"
    return f"CASE WHEN {better} THEN {new} ELSE {old} END"


def summary_table(table: Table, summary: DailySummary, time: str = "time") -> Table:
    """What a summary is to SQLAlchemy, to be read.

    Raises:
        SchemaError: it names a column that the series does not have.
    """
    text = SummarySql(table, time, summary)
    if not set(summary.by) <= set(table.c.keys()):
        raise SchemaError(f"summary {summary.name}: {table.name} lacks one of {', '.join(summary.by)}")
    columns = [Column(name, table.c[name].type, primary_key=True) for name in summary.by]
    columns.append(Column(DAY, DateTime(timezone=True), primary_key=True))
    columns += [Column(stored.column, stored.type) for stored in text.stored]
    return Table(summary.name, MetaData(), *columns, schema=table.schema)
