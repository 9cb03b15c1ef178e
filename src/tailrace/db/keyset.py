"""Keyset pages: the rows behind a position in an order, found by an index range however deep the page lies. Pure.

    NEWEST = Order(calls.c.scheduled_at.desc().nulls_last(), key=calls.c.id)
    statement = page_statement(select(calls), NEWEST, Position((last_scheduled_at, last_id)), rows=21)

The rows behind a position are a list of segments that follow each other: those that agree with it in all columns but
the last, then all but the last two, and so on; NULLs are a segment of their own. PostgreSQL turns neither an OR of such
conditions nor ``a < 1 OR a IS NULL`` into an index range, so

- columns that run the same way are compared as one row, ``(a, id) < (1, 2)``, which is one range;
- what is left of several segments is a ``UNION ALL`` of limited ranges, never an OR.

Backward pages are forward pages of the order turned round.

**Source:** PostgreSQL documentation, 9.25.5 (row constructor comparison), 11.4 (indexes and ORDER BY, NULLS FIRST);
M. Winand, "SQL Performance Explained", paging through results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from sqlalchemy import (
    Alias,
    Column,
    Select,
    Table,
    UnaryExpression,
    and_,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ColumnElement, Executable, operators

from tailrace.core.cursor import CursorValue, Position
from tailrace.db.exact import at_an_end, exactly, is_changed, parameter, place, sent
from tailrace.db.outer_joins import outer_joined

__all__ = ["Order", "Term", "page_statement", "place_of", "segments"]

KEY_LABEL = "tailrace_key_"
"""The columns that a page statement adds, to say where each row stands."""
EXACT_LABEL = "tailrace_exact_"
"""Those that it adds behind them, for terms whose values drivers change."""
PLACE = "tailrace_place_"
"""The parameters of a page statement that say behind which row it begins, by the number of the order's term."""

Condition = ColumnElement[bool]
Statement = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One column of an order.

    Attributes:
        expression: what is compared.
        descending: largest first.
        nulls_first: NULLs come first; PostgreSQL's default is the end for ascending, the beginning for descending.
        nullable: there may be NULLs.
    """

    expression: ColumnElement[Any]
    descending: bool
    nulls_first: bool
    nullable: bool

    def reversed(self) -> Term:
        """The same column in the opposite order."""
        return replace(self, descending=not self.descending, nulls_first=not self.nulls_first)

    def ordered(self, expression: ColumnElement[Any] | None = None) -> ColumnElement[Any]:
        """As ``ORDER BY`` has it; with ``expression`` in place of its own.

        The place of NULLs is named only where it differs from PostgreSQL's default, or an index that was made without
        naming it would not be found.
        """
        column = self.expression if expression is None else expression
        turned = column.desc() if self.descending else column.asc()
        if self.nulls_first == self.descending:
            return turned
        return turned.nulls_first() if self.nulls_first else turned.nulls_last()

    def parameter(self, value: CursorValue, name: str | None = None) -> ColumnElement[Any]:
        """``value`` as a parameter to compare with, with a name for whoever gives it another value later."""
        return parameter(self.expression.type, value, name)

    def at_an_end(self, value: CursorValue) -> bool:
        """Whether a statement made for ``value`` is not one for others."""
        return at_an_end(self.expression.type, value)

    def sent(self, value: CursorValue) -> CursorValue:
        """What the parameter for ``value`` is given."""
        return sent(self.expression.type, value)

    def equals(self, value: CursorValue, name: str | None = None) -> Condition:
        """The column has this value, or is NULL like it."""
        return self.expression.is_(None) if value is None else self.expression == self.parameter(value, name)


class Order:
    """A total order: columns, then a key that no two rows share, so that every row has one place.

    Args:
        columns: SQLAlchemy columns or expressions, ``asc()`` by default, with ``desc()``, ``nulls_first()`` and
            ``nulls_last()``; or ``Term`` where more must be said. An expression, or a column of a subquery, counts as
            nullable, which costs one range more.
        key: a unique key of the statement's rows, its columns never NULL. It runs the way of the last column, so that
            one index serves both, unless it says ``asc()`` or ``desc()`` itself.

    Raises:
        ValueError: a column of the key may be NULL.
    """

    def __init__(self, *columns: Any, key: Any) -> None:
        terms = [_term(column) for column in columns]
        last = terms[-1].descending if terms else False
        keys = [_term(column, last) for column in (key if isinstance(key, list | tuple) else (key,))]
        for term in keys:
            if isinstance(term.expression, Column) and term.expression.nullable:
                raise ValueError(f"the key of an order is never NULL, but {term.expression} may be")
        self.terms: tuple[Term, ...] = (*terms, *[replace(term, nullable=False) for term in keys])

    @cached_property
    def fingerprint(self) -> str:
        """Names the order, types included: a cursor of another order, or of this one before a column's type changed,
        is not for this one."""
        return ";".join([_describe(term) for term in self.terms])

    @cached_property
    def inexact(self) -> tuple[int, ...]:
        """The numbers of the terms whose values drivers change."""
        return tuple([number for number, term in enumerate(self.terms) if is_changed(term.expression.type)])

    def within(self, statement: Statement) -> tuple[Term, ...]:
        """The terms, nullable where an outer join of ``statement`` makes them so.

        Raises:
            ValueError: it makes the key so.
        """
        optional = set(outer_joined(statement))
        if not optional:
            return self.terms
        tables = [getattr(term.expression, "table", None) for term in self.terms]
        terms = [
            replace(term, nullable=True) if table in optional else term
            for term, table in zip(self.terms, tables, strict=True)
        ]
        if terms[-1].nullable:
            raise ValueError(f"the key of an order is never NULL, but an outer join makes {terms[-1].expression} so")
        return tuple(terms)


def page_statement(
    statement: Statement,
    order: Order,
    position: Position,
    rows: int | ColumnElement[int],
    ranges: Sequence[Condition] = (),
) -> Executable:
    """The first ``rows`` rows behind ``position``, in the direction that it says.

    Args:
        statement: which rows there are. Its own ORDER BY, LIMIT and OFFSET are replaced. It may join and filter, but
            what groups or is DISTINCT goes into a subquery first. Of an ORM statement, collections are loaded with
            ``selectinload``.
        order: of those rows.
        position: where the page before ended.
        rows: at most; a parameter, where the same statement is to be run with other numbers.
        ranges: conditions that exclude each other, one of which holds for every row of the statement: each is read by
            itself, and what they give is merged. So an index on ``(status, created_at, id)`` gives the newest of all
            statuses, of which there are few, without an index on ``(created_at, id)``. Cost: a range of an index each.

    Returns:
        A statement whose rows have, behind the columns of ``statement``, the values of the order's terms and what tells
        some of those exactly, from which ``place_of`` knows where each stands. Walking backward, the rows come last one
        first.

    Raises:
        ValueError: ``position`` does not belong to ``order``.
    """
    terms = order.within(statement)
    if position.backward:
        terms = tuple([term.reversed() for term in terms])
    labels = [term.expression.label(f"{KEY_LABEL}{number}") for number, term in enumerate(terms)]
    exact = [exactly(terms[number].expression).label(f"{EXACT_LABEL}{number}") for number in order.inexact]
    plain = statement.order_by(None).offset(None).add_columns(*labels, *exact)
    ordered = plain.order_by(*[term.ordered() for term in terms]).limit(rows)
    if not ranges and not position.values:
        return ordered
    behind = list(segments(terms, position.values, inclusive=position.inclusive)) if position.values else [true()]
    found = [and_(*both) for both in product(ranges or (true(),), behind)]
    if len(found) == 1:
        return ordered.where(found[0])
    union = union_all(*[ordered.where(condition) for condition in found])
    columns = [union.selected_columns[label.name] for label in labels]
    whole = union.order_by(*[term.ordered(column) for term, column in zip(terms, columns, strict=True)]).limit(rows)
    loads_entities = any(description.get("entity") is not None for description in statement.column_descriptions)
    return plain.from_statement(whole) if loads_entities else whole


def place_of(order: Order, row: Sequence[Any]) -> tuple[CursorValue, ...]:
    """Where a row stands, from what a page statement adds to it."""
    values = list(row[: len(order.terms)])
    for number, more in zip(order.inexact, row[len(values) :], strict=True):
        values[number] = place(order.terms[number].expression.type, values[number], more)
    return tuple(values)


def segments(terms: Sequence[Term], values: Sequence[CursorValue], *, inclusive: bool = False) -> Iterator[Condition]:
    """The rows behind ``values``, as conditions that exclude each other, in the order in which their rows follow.

    Raises:
        ValueError: there is not one value for each term, or NULL for one that is never NULL.
    """
    if len(terms) != len(values):
        raise ValueError(f"the order has {len(terms)} columns, the position {len(values)}")
    for term, value in zip(terms, values, strict=True):
        if value is None and not term.nullable:
            raise ValueError(f"{term.expression} is never NULL, but the position says so; is it outer-joined?")
    end = len(terms)
    while end:
        begin = end - 1
        while begin and _one_range(terms[begin - 1], values[begin - 1], terms[begin], values[begin]):
            begin -= 1
        before = [terms[at].equals(values[at], f"{PLACE}{at}") for at in range(begin)]
        beyond = _beyond(terms, values, range(begin, end), inclusive=inclusive and end == len(terms))
        for condition in beyond:
            yield and_(*before, condition)
        end = begin


def _one_range(term: Term, value: CursorValue, following: Term, its_value: CursorValue) -> bool:
    """True if two neighbours can be compared as one row.

    They run the same way, neither is at NULL, and no NULLs of the second lie between the rows where both are equal and
    those where the first goes on. NULLs that lie before are no obstacle: a comparison of rows ends at the first column
    that differs.
    """
    same_way = term.descending == following.descending
    return (
        same_way and value is not None and its_value is not None and (following.nulls_first or not following.nullable)
    )


def _beyond(
    terms: Sequence[Term], values: Sequence[CursorValue], compared: range, *, inclusive: bool
) -> Iterator[Condition]:
    """The rows beyond ``values`` in neighbours, those numbered ``compared``, that are compared as one."""
    term, value = terms[compared[0]], values[compared[0]]
    if value is None:
        if term.nulls_first:
            yield term.expression.is_not(None)
        return
    if term.descending:
        compare = operators.le if inclusive else operators.lt
    else:
        compare = operators.ge if inclusive else operators.gt
    parameters = [terms[at].parameter(values[at], f"{PLACE}{at}") for at in compared]
    if len(parameters) == 1:
        yield compare(term.expression, parameters[0])
    else:
        yield compare(tuple_(*[terms[at].expression for at in compared]), tuple_(*parameters))
    if term.nullable and not term.nulls_first:
        yield term.expression.is_(None)


def _term(column: Any, descending: bool = False) -> Term:
    """What an argument of ``Order`` says."""
    if isinstance(column, Term):
        return column
    element = column.__clause_element__() if hasattr(column, "__clause_element__") else column
    nulls: bool | None = None
    while isinstance(element, UnaryExpression) and element.modifier is not None:
        modifier = element.modifier
        if modifier in (operators.nulls_first_op, operators.nulls_last_op):
            nulls = modifier is operators.nulls_first_op
        elif modifier in (operators.desc_op, operators.asc_op):
            descending = modifier is operators.desc_op
        else:
            break
        element = element.element
    own = isinstance(element, Column) and isinstance(element.table, Table | Alias)
    nullable = bool(element.nullable) if own else True
    return Term(element, descending, descending if nulls is None else nulls, nullable)


def _describe(term: Term) -> str:
    compiled = term.expression.compile(dialect=_DIALECT)
    way = f"{'desc' if term.descending else 'asc'} {'first' if term.nulls_first else 'last'} {term.nullable}"
    return f"{compiled.string} {sorted(compiled.params.items())!r} {term.expression.type!r} {way}"


_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
