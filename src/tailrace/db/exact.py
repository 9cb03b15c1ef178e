"""How values that place a row reach a cursor and come back without becoming others. Pure.

Drivers change three kinds of values on the way, each so little that only its own row, or a neighbour, comes twice or
never:

- psycopg reads a float of four bytes from text, ``0.1``, and sends it back in eight, where it is another number. So
  floats are read and compared in eight bytes, which hold every one of four, whatever their column is declared to be.
- A number that SQLAlchemy makes a float of (``Numeric(asdecimal=False)``) has lost digits. It is read as it is.
- Python has no day or moment for infinity. asyncpg reads it as the first or last that Python has, and sends those as
  infinity, although a table may hold both. So each is read together with whether it is finite; a place at infinity is a
  word, and it and what lies in Python's first and last year go as text. psycopg refuses to read infinity.

**Source:** asyncpg/pgproto/codecs/datetime.pyx; PostgreSQL documentation, 8.1.3, 8.5.1.4 (special values), 38.16
(operator families, whose operators compare different types by one index).
"""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, date
from typing import Any

from sqlalchemy import DOUBLE_PRECISION, Boolean, Date, DateTime, Float, Numeric, Text, bindparam, cast, func
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import TypeEngine

from tailrace.core.cursor import CursorValue

__all__ = ["at_an_end", "exactly", "is_changed", "parameter", "place", "sent"]

BEYOND = {MINYEAR: "-infinity", MAXYEAR: "infinity"}
"""What is not finite, by the year that stands in for it."""


def is_changed(kind: TypeEngine[Any]) -> bool:
    """Whether values of a column of this kind may come as others than they are."""
    return isinstance(kind, Date | DateTime) or _compared(kind) is not kind


def exactly(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """What is read beside an ``expression`` of such a kind to know its value."""
    if isinstance(expression.type, Date | DateTime):
        return func.isfinite(expression, type_=Boolean())
    return cast(expression, _compared(expression.type))


def place(kind: TypeEngine[Any], value: Any, exact: Any) -> CursorValue:
    """The value of a column of this kind, from what was read of it and of ``exactly``."""
    if isinstance(kind, Date | DateTime):
        return BEYOND[value.year] if exact is False else value
    return exact  # type: ignore[no-any-return]


def at_an_end(kind: TypeEngine[Any], value: CursorValue) -> bool:
    """Whether ``value`` goes as text, in a statement that is not the one for other values."""
    if not isinstance(kind, Date | DateTime):
        return False
    if isinstance(value, date):
        return value.year in BEYOND
    return isinstance(value, str)


def parameter(kind: TypeEngine[Any], value: CursorValue, name: str | None) -> ColumnElement[Any]:
    """``value`` as a parameter to compare a column of this kind with."""
    if at_an_end(kind, value):
        return cast(bindparam(name, sent(kind, value), type_=Text()), kind)
    compared = _compared(kind)
    found = bindparam(name, value, type_=compared)
    return found if compared is kind else cast(found, compared)


def sent(kind: TypeEngine[Any], value: CursorValue) -> CursorValue:
    """What such a parameter is given for ``value``."""
    return value.isoformat() if isinstance(value, date) and at_an_end(kind, value) else value


def _compared(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """In what type values are read and compared: their own where nothing is lost in it."""
    if isinstance(kind, Float):
        return DOUBLE_PRECISION()
    return Numeric() if isinstance(kind, Numeric) and not kind.asdecimal else kind
