"""Watches: which changes of a table are noticed, and by which tags. Pure: values only.

    WATCH_CALLS = Watch(calls, key=("user_id", Where("failed", calls.c.status == "failed")))

An answer about one user's calls depends on ``tag("calls", "user_id", 42)``, one about failed calls on
``tag("calls", "failed", "true")``, and neither ends by writes to other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, String, Table, Uuid
from sqlalchemy import types as sqltypes
from sqlalchemy.sql import ColumnElement, visitors

from tailrace.errors import SchemaError
from tailrace.schema.declarations import as_table, table_tag
from tailrace.schema.sql_text import refuse_unstable, render

__all__ = ["Through", "Watch", "Where"]


@dataclass(frozen=True, slots=True, eq=False)
class Where:
    """A tag for the rows for which a condition holds: ``Where("published", cards.c.published_at.is_not(None))``.

    What is written is ``tag("cards", "published", "true")``: by a row that comes, goes or is changed, if the condition
    held before or holds now. An answer that shows such rows only, and counts no others, may depend on it alone.

    Args:
        name: stands in the tag in place of a column.
        condition: an expression over the columns of one table. Where it is NULL it does not hold, as in a query.
    """

    name: str
    condition: ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Through:
    """A key that lives in a parent row: ``Through("call_id", calls, "id", "user_id")``.

    Args:
        column: the child's column that names the parent.
        parent: the parent's table.
        parent_column: the parent's unique column.
        key: the parent's column that is the key of the tag, or a condition over the parent's columns.
    """

    column: str
    parent: Any
    parent_column: str
    key: str | Where


Key = str | Through | Where


@dataclass(frozen=True, eq=False)
class Watch:
    """Notice every change of a table: cache tags are written to the outbox in the writing transaction.

    Args:
        table: what to watch.
        key: columns whose values get tags of their own; one name, several, ``Through`` a parent, or ``Where`` a
            condition holds.

    Raises:
        SchemaError: a column does not exist or has no one text form; a condition is about another table, or about the
            time; the table's name has a colon.

    Not noticed: writes under ``session_replication_role = replica``, which fire no triggers.

    Cost: for each writing statement a look-up of each ``Through`` and a row in the outbox for each tag.
    """

    table: Any
    key: Key | Sequence[Key] = ()

    def __post_init__(self) -> None:
        if ":" in self.tag:
            raise SchemaError(f"{self.tag}: a watched table's name must not contain ':'")
        for key in self.keys:
            source, own = (as_table(key.parent), key.key) if isinstance(key, Through) else (self.source, key)
            if isinstance(own, Where):
                self._check_condition(source, own)
            else:
                self._check_text(_column(source, own))
            if isinstance(key, Through) and (key.column not in self.source.c or key.parent_column not in source.c):
                raise SchemaError(f"{self.tag}: {key.column} or {source.name}.{key.parent_column} does not exist")

    @property
    def name(self) -> str:
        return self.tag

    @property
    def source(self) -> Table:
        return as_table(self.table)

    @property
    def tag(self) -> str:
        return table_tag(self.table)

    @property
    def keys(self) -> tuple[Key, ...]:
        return (self.key,) if isinstance(self.key, str | Through | Where) else tuple(self.key)

    def _check_text(self, column: Column[Any]) -> None:
        if not isinstance(column.type, (Integer, String, Uuid)) or isinstance(column.type, sqltypes.CHAR):
            raise SchemaError(
                f"{self.tag}: {column.name} cannot be a key of tags: only integers, strings and UUIDs have one "
                "text form in Python and PostgreSQL alike"
            )

    def _check_condition(self, source: Table, where: Where) -> None:
        tables = {part.table for part in visitors.iterate(where.condition) if isinstance(part, Column)}
        if tables != {source}:
            raise SchemaError(f"{self.tag}: the condition of {where.name} must be about columns of {source.name} only")
        refuse_unstable(render(where.condition), f"{self.tag}: the condition of {where.name}")


def _column(table: Table, name: str) -> Column[Any]:
    if name not in table.c:
        raise SchemaError(f"{table.name} has no column {name}")
    return table.c[name]
