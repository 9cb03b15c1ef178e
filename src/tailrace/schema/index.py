"""An index, declared beside the query it serves. Pure: values and their text in SQL.

RECENT_CALLS = Index("calls_recent", calls, [calls.c.user_id, calls.c.created_at.desc()])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, literal_column
from sqlalchemy.sql import ColumnElement, operators, visitors

from tailrace.errors import SchemaError
from tailrace.schema.declarations import as_table
from tailrace.schema.sql_text import identifier, refuse_unstable, render

__all__ = ["Index"]

_SUFFIXES: Mapping[Any, str] = {
    operators.desc_op: "DESC",
    operators.asc_op: "ASC",
    operators.nulls_first_op: "NULLS FIRST",
    operators.nulls_last_op: "NULLS LAST",
}


@dataclass(frozen=True, eq=False)
class Index:
    """An index, declared beside the query it serves and built without stopping writers.

    Args:
        name: the index's name.
        table: the table.
        columns: names or expressions (``calls.c.created_at.desc()``, ``func.lower(...)``), in order.
        include: names of columns carried along for index-only scans.
        where: which rows it holds; it must not depend on the time.
        using: access method.
        unique: whether keys must be unique.
        operator_class: of every column, as ``gin_trgm_ops``; by default its type's own.
    """

    name: str
    table: Any
    columns: Sequence[Any]
    include: Sequence[str] = ()
    where: Any = None
    using: str = "btree"
    unique: bool = False
    operator_class: str | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            raise SchemaError(f"index {self.name}: no columns")
        for column in (*self.columns, self.where):
            if column is not None and not isinstance(column, str):
                refuse_unstable(render(column), f"index {self.name}")

    @property
    def source(self) -> Table:
        return as_table(self.table)

    @property
    def computes(self) -> bool:
        """Whether it holds an expression, and not columns alone."""
        return any(text.startswith("(") for text in self.column_texts())

    def column_texts(self) -> list[str]:
        """Each column as SQL text; expressions in parentheses."""
        return [self._column_text(column) for column in self.columns]

    def _column_text(self, column: Any) -> str:
        if isinstance(column, str):
            if column not in self.source.c:
                raise SchemaError(f"index {self.name}: {self.source.name} has no column {column}")
            column = self.source.c[column]
        bare = _unqualified(column, self.source)
        inner, suffix = bare, ""
        while getattr(inner, "modifier", None) in _SUFFIXES:
            suffix = f" {_SUFFIXES[inner.modifier]}{suffix}"
            inner = inner.element
        text = render(inner)
        named = "" if self.operator_class is None else f" {identifier(self.operator_class)}"
        return (text if isinstance(column, Column) or _is_name(inner) else f"({text})") + named + suffix

    def where_text(self) -> str | None:
        return None if self.where is None else render(_unqualified(self.where, self.source))


def _is_name(expression: Any) -> bool:
    return bool(getattr(expression, "is_literal", False)) and bool(getattr(expression, "tailrace_name", False))


def _unqualified(expression: ColumnElement[Any], table: Table) -> ColumnElement[Any]:
    """``expression`` with ``table``'s columns as bare names, as index definitions want them."""

    def bare(part: Any, **_: Any) -> Any:
        if isinstance(part, Column) and part.table is table:
            name = literal_column(identifier(part.name), part.type)
            name.tailrace_name = True  # type: ignore[attr-defined]
            return name
        return None

    replaced: ColumnElement[Any] = visitors.replacement_traverse(expression, {}, bare)  # type: ignore[call-overload]
    return replaced
