"""Writing SQL text: identifiers, literals, and SQLAlchemy expressions bound to an alias. Pure.

Trigger functions and index definitions cannot take bind parameters, so every value becomes a literal here, in one
place, through the dialect's own quoting.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import ColumnElement, visitors
from sqlalchemy.sql.util import ClauseAdapter

from tailrace.errors import SchemaError

__all__ = [
    "columns_of",
    "definition_hash",
    "identifier",
    "interval",
    "literal",
    "qualified",
    "refuse_unstable",
    "render",
    "short_name",
    "type_name",
]

NAME_BYTES = 63
"""PostgreSQL cuts identifiers after this many bytes."""

_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_UNSTABLE = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random)\s*\("
    r"|\b(current_date|current_time|current_timestamp|localtime|localtimestamp)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


def identifier(name: str) -> str:
    """``name`` as an identifier, always quoted, so that any name works.

    >>> print(identifier('an "odd" name'))
    "an ""odd"" name"
    """
    if "\x00" in name or not name:
        raise SchemaError(f"{name!r} cannot be a name in PostgreSQL")
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """``schema.name``, both quoted."""
    return f"{identifier(schema)}.{identifier(name)}"


def literal(text: str) -> str:
    """``text`` as a string literal, right whatever ``standard_conforming_strings`` says.

    >>> literal("it's")
    "'it''s'"
    """
    doubled = text.replace("'", "''")
    if "\\" not in text:
        return f"'{doubled}'"
    return "E'" + doubled.replace("\\", "\\\\") + "'"


def short_name(name: str, room: int = NAME_BYTES) -> str:
    """``name``, or its beginning and a hash when it has more than ``room`` bytes."""
    encoded = name.encode()
    if len(encoded) <= room:
        return name
    return encoded[: room - 9].decode(errors="ignore") + "_" + hashlib.sha256(encoded).hexdigest()[:8]


def definition_hash(*parts: str) -> str:
    """What tells one definition from another: 32 hexadecimal digits."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def columns_of(expression: ColumnElement[object], table: Table) -> set[str]:
    """Names of ``table``'s columns that ``expression`` reads."""
    found = visitors.iterate(expression)
    return {part.name for part in found if isinstance(part, Column) and part.table is table}


def render(expression: ColumnElement[object], aliases: Mapping[Table, str] | None = None) -> str:
    """``expression`` as text, each table's columns read through its alias (an empty mapping leaves names as they are).

    Raises:
        SchemaError: a value in it has no literal form.
    """
    adapted = expression
    for table, alias in (aliases or {}).items():
        adapted = ClauseAdapter(table.alias(alias)).traverse(adapted)
    try:
        return str(adapted.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
    except CompileError as error:
        raise SchemaError(f"{expression!r} cannot be written as SQL text: {error}") from error


def interval(time: timedelta) -> str:
    """``time`` as PostgreSQL reads an interval, without quotes; to the second."""
    return f"{time.total_seconds():.0f} seconds"


def type_name(expression: ColumnElement[object]) -> str:
    """The PostgreSQL type of ``expression``, as SQLAlchemy knows it."""
    return str(expression.type.compile(dialect=_DIALECT))


def refuse_unstable(text: str, where: str) -> None:
    """Refuse what changes without a write.

    Raises:
        SchemaError: ``text`` asks for the time or a random number.
    """
    found = _UNSTABLE.search(_QUOTED.sub("''", text))
    if found:
        raise SchemaError(
            f"{where} uses {found.group(0).rstrip('( ')}: its value changes while the row stays, so PostgreSQL refuses "
            "it in an index predicate (42P17) and no trigger could keep a rollup right. Compare with a "
            "constant, or leave "
            "the time out and put it into the query."
        )
