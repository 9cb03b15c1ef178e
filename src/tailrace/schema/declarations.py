"""What a service declares beside its queries: rollups; watches are in ``watches``. Pure: values only.

    CALLS_BY_DAY = Rollup(
        "calls_by_day", calls, {"user_id": calls.c.user_id}, time=calls.c.created_at, grain="day",
        measures={"calls": count(), "successful_calls": count(where=calls.c.status == "completed"),
                  "credits_used": sum_(calls.c.credits_used)},
    )

Tables are SQLAlchemy ``Table`` objects or mapped classes; expressions are SQLAlchemy expressions over their columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import BinaryExpression, Column, Integer, Numeric, Table
from sqlalchemy import types as sqltypes
from sqlalchemy.sql import ColumnElement, operators

from tailrace.errors import SchemaError
from tailrace.schema.sql_text import columns_of, refuse_unstable, render

__all__ = ["Measure", "Rollup", "as_table", "avg", "count", "schema_of", "sum_", "table_tag"]

Grain = Literal["hour", "day"]
Maintenance = Literal["immediate", "deltas"]
Expression = ColumnElement[Any]


def as_table(source: Any) -> Table:
    """The ``Table`` of a table or mapped class."""
    table = getattr(source, "__table__", source)
    if not isinstance(table, Table):
        raise SchemaError(f"{source!r} is neither a Table nor a mapped class")
    return table


def schema_of(table: Table) -> str:
    """The schema a table lives in."""
    return table.schema or "public"


def table_tag(table: Any) -> str:
    """The cache tag of a table: its name, with the schema before it outside ``public``."""
    own = as_table(table)
    return own.name if schema_of(own) == "public" else f"{own.schema}.{own.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """One figure of a rollup. Make it with `count`, `sum_` or `avg`."""

    kind: Literal["count", "sum", "avg"]
    of: Expression | None = None
    where: Expression | None = None


def count(of: Any = None, *, where: Any = None) -> Measure:
    """How many rows (or rows where ``of`` is not NULL) satisfy ``where``."""
    return Measure("count", of, where)


def sum_(of: Any, *, where: Any = None) -> Measure:
    """The sum of ``of``, 0 when there is none. Integers and ``numeric`` only: floats do not add up exactly."""
    _refuse_inexact(of)
    return Measure("sum", of, where)


def avg(of: Any, *, where: Any = None) -> Measure:
    """The mean of ``of``, kept as a sum and a count (``<name>_sum``, ``<name>_count``); NULL when there is none."""
    _refuse_inexact(of)
    return Measure("avg", of, where)


def _refuse_inexact(of: Expression) -> None:
    exact = isinstance(of.type, Integer) or (isinstance(of.type, Numeric) and not isinstance(of.type, sqltypes.Float))
    if not exact:
        raise SchemaError(f"{of} is {of.type!r}: only integers and numeric add up exactly")


@dataclass(frozen=True, slots=True)
class Join:
    """A rollup's second table: ``source.column`` references ``parent.parent_column`` (a foreign key)."""

    parent: Table
    column: str
    parent_column: str


@dataclass(frozen=True, slots=True)
class StoredMeasure:
    """One column of a rollup's table: an additive figure. ``value`` is None for a count of rows."""

    column: str
    value: Expression | None
    where: Expression | None
    counts: bool
    sql_type: str


@dataclass(frozen=True, eq=False)
class Rollup:
    """A summary kept exact in the transaction that writes its source.

    Args:
        name: the table's name.
        source: the table whose rows are counted and summed.
        dimensions: name -> expression over the source's (or parent's) columns. The first ``leading`` stand before the
            time in the primary key, the others after it, so that "one user, a range of time" is one range of the index.
        time: the column that says when.
        grain: ``hour`` (columns ``date``, ``hour``) or ``day`` (column ``date``).
        measures: name -> `count`, `sum_` or `avg`. Minimum and maximum cannot be kept by adding and are not offered.
        join: ``(parent, source.c.parent_id == parent.c.id)``; needs a foreign key that is checked at once.
        where: rows that do not satisfy it do not count.
        schema: where the table lives.
        time_zone: whose days are meant; other than UTC for ``day`` only.
        leading: how many dimensions stand before the time.
        maintenance: ``immediate`` adds to the summary's rows in the writing transaction: one row a key, and writers of
            one key wait for each other. ``deltas`` appends the difference to a log, which a background task folds into
            the summary: cheaper for writers, above all if they meet at few keys, and just as exact at every commit; but
            the summary is then a view with any number of rows a key, so whoever reads it must add them up.
    """

    name: str
    source: Any
    dimensions: Mapping[str, Any]
    time: Any
    grain: Grain
    measures: Mapping[str, Measure]
    join: tuple[Any, Any] | None = None
    where: Any = None
    schema: str = "public"
    time_zone: str = "UTC"
    leading: int = 1
    maintenance: Maintenance = "immediate"
    parent_link: Join | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", as_table(self.source))
        object.__setattr__(self, "dimensions", dict(self.dimensions))
        object.__setattr__(self, "measures", dict(self.measures))
        object.__setattr__(self, "parent_link", self._link())
        self._refuse_nonsense()

    def _link(self) -> Join | None:
        if self.join is None:
            return None
        parent, on = as_table(self.join[0]), self.join[1]
        if not isinstance(on, BinaryExpression) or on.operator is not operators.eq:
            raise SchemaError(f"rollup {self.name}: the join must be one equality of two columns")
        sides = {side.table: side.name for side in (on.left, on.right) if isinstance(side, Column)}
        if set(sides) != {self.source, parent}:
            raise SchemaError(
                f"rollup {self.name}: the join must compare a column of {self.source.name} with one of {parent.name}"
            )
        return Join(parent, sides[self.source], sides[parent])

    def _refuse_nonsense(self) -> None:
        names = [*self.dimensions, *self.time_columns, *(m.column for m in self.stored)]
        if len(set(names)) != len(names):
            raise SchemaError(f"rollup {self.name}: two columns share a name: {', '.join(sorted(names))}")
        if not self.measures or not 0 <= self.leading <= len(self.dimensions):
            raise SchemaError(f"rollup {self.name}: needs a measure, and 0..{len(self.dimensions)} leading dimensions")
        if self.maintenance not in ("immediate", "deltas"):
            raise SchemaError(f"rollup {self.name}: maintenance is immediate or deltas, not {self.maintenance!r}")
        if self.grain == "hour" and self.time_zone != "UTC":
            raise SchemaError(f"rollup {self.name}: hours are kept in UTC only: elsewhere one hour a year comes twice")
        for expression in self.expressions:
            refuse_unstable(render(expression), f"rollup {self.name}")

    @property
    def parent(self) -> Table | None:
        return None if self.parent_link is None else self.parent_link.parent

    @property
    def tables(self) -> tuple[Table, ...]:
        """The source, and the parent if there is one."""
        return (self.source,) if self.parent is None else (self.source, self.parent)

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """Every expression that reads a row."""
        parts = [*self.dimensions.values(), self.time, self.where]
        for measure in self.measures.values():
            parts += [measure.of, measure.where]
        return tuple(part for part in parts if part is not None)

    def used_columns(self, table: Table) -> tuple[str, ...]:
        """Columns of ``table`` on which a row's contribution depends, the joining ones included; sorted."""
        used = set().union(*(columns_of(e, table) for e in self.expressions))
        if self.parent_link is not None:
            used.add(self.parent_link.column if table is self.source else self.parent_link.parent_column)
        return tuple(sorted(used))

    @property
    def time_columns(self) -> tuple[str, ...]:
        return ("date", "hour") if self.grain == "hour" else ("date",)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the primary key, in order."""
        names = tuple(self.dimensions)
        return (*names[: self.leading], *self.time_columns, *names[self.leading :])

    @cached_property
    def stored(self) -> tuple[StoredMeasure, ...]:
        """The additive columns; one of them always counts the rows (see `row_count`)."""
        columns: list[StoredMeasure] = []
        for name, measure in self.measures.items():
            if measure.kind != "count":
                column = name if measure.kind == "sum" else f"{name}_sum"
                columns.append(StoredMeasure(column, measure.of, measure.where, False, _sum_type(measure.of)))
            if measure.kind != "sum":
                column = name if measure.kind == "count" else f"{name}_count"
                columns.append(StoredMeasure(column, measure.of, measure.where, True, "bigint"))
        if not any(c.counts and c.value is None and c.where is None for c in columns):
            columns.append(StoredMeasure("row_count", None, None, True, "bigint"))
        return tuple(columns)

    @property
    def row_count(self) -> str:
        """The column that counts the rows behind a row of the rollup; 0 = nothing is left of it."""
        return next(c.column for c in self.stored if c.counts and c.value is None and c.where is None)


def _sum_type(of: Expression | None) -> str:
    small = isinstance(of.type, Integer) and not isinstance(of.type, sqltypes.BigInteger) if of is not None else False
    return "bigint" if small else "numeric"
