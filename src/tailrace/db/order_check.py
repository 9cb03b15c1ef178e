"""Checks that an index serves an order: every page begins where it should and ends when it is full.

Touches: a connection, whose planner is asked with sorting and scanning of whole tables switched off, in a savepoint
that is rolled back. So the answer is about what the indexes can do, not about how many rows there are today: it is the
same for the empty table of a test, at the start of a new service, and in production. Nothing is read from the table.

    await check_order(connection, select(calls).where(calls.c.product == "x"), NEWEST)

**Source:** PostgreSQL documentation, 19.7.1 (planner method configuration), 11.4 (indexes and ORDER BY).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from uuid import UUID

from sqlalchemy import DateTime, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import NullType

from tailrace.core.cursor import CursorValue, Position
from tailrace.db.keyset import Order, Statement, Term, page_statement
from tailrace.db.plans import Plan, explain, nodes
from tailrace.errors import SchemaError

__all__ = ["OrderVerdict", "check_order", "judge_order"]

INDEXES_ONLY = text(
    "SELECT set_config(name, 'off', true) FROM unnest("
    "ARRAY['enable_sort', 'enable_incremental_sort', 'enable_seqscan', 'enable_bitmapscan']) AS name"
)
ROWS = 21
"""Rows of the pages that are planned. A sort of as many is what puts segments together; of more, it sorts the table."""
MOST_NULLABLE = 3
"""Columns whose NULLs are tried in every combination; of the others at once."""


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """What indexes can do for an order.

    Attributes:
        served: every page is an index range.
        indexes: those that give the rows in order.
        problems: what stands against it, one sentence each.
        filtered: conditions that are tested row by row within the range, so a page reads more rows than it has. They
            are no fault of the order, but where few rows pass them, pages are slow.
    """

    served: bool
    indexes: tuple[str, ...]
    problems: tuple[str, ...]
    filtered: tuple[str, ...]


async def check_order(executor: AsyncSession | AsyncConnection, statement: Statement, order: Order) -> OrderVerdict:
    """As ``judge_order``, for tests and for the start of a service.

    Raises:
        SchemaError: no index serves the order; says which would.
        DatabaseError: one of its kinds.
    """
    verdict = await judge_order(executor, statement, order)
    if not verdict.served:
        wanted = ", ".join([_rendered(term.ordered()) for term in order.terms])
        raise SchemaError(
            f"no index serves the order {wanted}: {'; '.join(verdict.problems)}. One on the columns that the statement "
            f"compares with one value each, followed by {wanted}, would"
        )
    return verdict


async def judge_order(executor: AsyncSession | AsyncConnection, statement: Statement, order: Order) -> OrderVerdict:
    """Plan the first page, the last one, and pages behind and before every kind of position.

    Raises:
        DatabaseError: one of its kinds.
        ValueError: a column of the order has no type, or one that no cursor holds.

    Cost: 1 round trip for each kind, a dozen for an order with one nullable column.
    """
    terms = order.within(statement)
    reading = _Reading(_table_names(terms))
    async with executor.begin_nested() as savepoint:
        await executor.execute(INDEXES_ONLY)
        for position in _kinds(terms):
            reading.take(await explain(executor, page_statement(statement, order, position, ROWS)), position)
        await savepoint.rollback()
    return reading.verdict()


def _kinds(terms: tuple[Term, ...]) -> Iterator[Position]:
    """The ends of the order, and one position for each way in which columns may be NULL."""
    yield Position()
    yield Position(backward=True)
    nullable = [number for number, term in enumerate(terms) if term.nullable]
    alone, together = nullable[:MOST_NULLABLE], nullable[MOST_NULLABLE:]
    for nulls in product((False, True), repeat=len(alone) + bool(together)):
        empty = {number for number, null in zip(alone, nulls, strict=False) if null}
        if together and nulls[-1]:
            empty.update(together)
        values = tuple([None if number in empty else _sample(term) for number, term in enumerate(terms)])
        yield Position(values)
        yield Position(values, backward=True)


_SAMPLES: dict[type, CursorValue] = {
    bool: True,
    int: 1,
    float: 1.0,
    str: "m",
    Decimal: Decimal(1),
    date: date(2026, 1, 1),
    UUID: UUID(int=1),
}


def _sample(term: Term) -> CursorValue:
    kind = term.expression.type
    if isinstance(kind, DateTime):
        return datetime(2026, 1, 1, tzinfo=UTC if kind.timezone else None)
    try:
        return _SAMPLES[kind.python_type]
    except (NotImplementedError, KeyError):
        hint = "say which: func.lower(title, type_=Text)" if isinstance(kind, NullType) else "it cannot be in a cursor"
        raise ValueError(f"{term.expression} has the type {kind!r}; {hint}") from None


class _Reading:
    """What the plans show, taken one by one. Those of the ends come first: they show which index gives the order, and
    what the statement itself compares.

    Args:
        tables: names of the order's; others may be read as the planner likes.
    """

    def __init__(self, tables: frozenset[str]) -> None:
        self._tables = tables
        self._problems: dict[str, None] = {}
        self._indexes: dict[str, None] = {}
        self._filtered: dict[str, None] = {}
        self._ranges: set[str] = {""}

    def take(self, plan: Plan, position: Position) -> None:
        """Read the plan of the page at ``position``."""
        for node in nodes(plan):
            kind = node["Node Type"]
            if kind in ("Sort", "Incremental Sort") and not _limited(node):
                self._problems[f"rows are sorted by {', '.join(node['Sort Key'])}"] = None
            if kind == "Seq Scan" and (not self._tables or node["Relation Name"] in self._tables):
                self._problems[f"{node['Relation Name']} is read as a whole"] = None
            if "Index Name" in node:
                condition, remaining = (_NUMBERED.sub(r"\1.", node.get(n, "")) for n in ("Index Cond", "Filter"))
                if position.values:
                    self._take_position(condition, remaining)
                else:
                    self._take_end(node["Index Name"], condition, remaining)

    def verdict(self) -> OrderVerdict:
        """All that was seen."""
        return OrderVerdict(not self._problems, tuple(self._indexes), tuple(self._problems), tuple(self._filtered))

    def _take_end(self, index: str, condition: str, remaining: str) -> None:
        self._indexes[index] = None
        self._ranges.add(condition)
        if remaining:
            self._filtered[remaining] = None

    def _take_position(self, condition: str, remaining: str) -> None:
        """A position must bound the range that is read, not only choose among its rows."""
        if remaining and remaining not in self._filtered and condition in self._ranges:
            self._problems[f"a position is tested row by row: {remaining}"] = None


_NUMBERED = re.compile(r"\b(\w+?)_\d+\.")
"""The name that a table has in each part of a union but the first."""


def _table_names(terms: tuple[Term, ...]) -> frozenset[str]:
    """Names of the tables that the order's columns belong to; empty if that cannot be told of one of them."""
    names = set()
    for term in terms:
        table = getattr(term.expression, "table", None)
        table = getattr(table, "element", table)
        if not isinstance(table, Table):
            return frozenset()
        names.add(table.name)
    return frozenset(names)


def _limited(sort: Plan) -> bool:
    """True if no more rows than a page has reach a sort: it only puts pages of segments together."""
    (below,) = sort["Plans"]
    if below["Node Type"] in ("Append", "Merge Append"):
        return all(part["Node Type"] == "Limit" or _is_limited_sort(part) for part in below["Plans"])
    return bool(below["Node Type"] == "Limit")


def _is_limited_sort(node: Plan) -> bool:
    return node["Node Type"] == "Sort" and _limited(node)


def _rendered(element: ClauseElement) -> str:
    compiled = element.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
    return str(compiled)
