"""Pages of a statement's rows: what a client may ask for, checked, and what it gets. Touches: the database.

    CALLS = Pages({"newest": Order(calls.c.scheduled_at.desc().nulls_last(), key=calls.c.id)}, cursors=cursors)
    request = CALLS.request(sort="newest", limit=20, cursor=cursor, filters={"product": product}, identity=user)
    page = await request.fetch(session, select(calls).where(calls.c.product == product))

Names of orders come from the program, so nothing that a client sends becomes part of a statement but as a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Executable, Integer, Result, bindparam, literal_column

from tailrace.core.cursor import Cursors, CursorValue, Position, bind
from tailrace.db.compiled_result import CompiledResult
from tailrace.db.errors import translated
from tailrace.db.keyset import KEY_LABEL, PLACE, Order, Statement, Term, page_statement, place_of
from tailrace.db.plans import Executor
from tailrace.db.totals import CAP, Total, TotalMode, fetch_total
from tailrace.errors import RequestError

__all__ = ["Page", "PageRequest", "Pages"]

T = TypeVar("T")
ROWS, OFFSET = "tailrace_rows", "tailrace_offset"
"""Parameters of a page's statement."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page.

    Attributes:
        items: rows, or the single thing that each row holds, in the order asked for, whichever way was walked.
        total: how many there are in all.
        has_next, has_previous: whether there is more. The way that was walked it is known from one row more than the
            page has; the way back it is the page one came from, which may have been deleted since.
        next_cursor, previous_cursor: of those pages, None where there is none.
        last_cursor: of the page at the end of the order.
    """

    items: list[T]
    total: Total
    has_next: bool
    has_previous: bool
    next_cursor: str | None
    previous_cursor: str | None
    last_cursor: str


class Pages:
    """What pages of one kind of thing may be asked for.

    Args:
        orders: by the name that clients give; the first is the default.
        cursors: sign the positions; may be given to ``request`` instead.
        limit: rows of a page, by default.
        max_limit: most rows of a page.
        max_offset: most rows that an offset page skips: the database reads every one of them. 0: cursors only.
        totals: what may be asked for; the first is the default.
        cap: rows at which a capped or estimated total stops counting.

    Raises:
        ValueError: there is no order or no total, or a figure makes no sense.
    """

    def __init__(
        self,
        orders: Mapping[str, Order],
        *,
        cursors: Cursors | None = None,
        limit: int = 20,
        max_limit: int = 100,
        max_offset: int = 1_000,
        totals: Sequence[TotalMode] = ("none",),
        cap: int = CAP,
    ) -> None:
        if not orders or not totals:
            raise ValueError("pages need at least one order and one kind of total")
        if not 1 <= limit <= max_limit or max_offset < 0 or cap < 1:
            raise ValueError("pages need 1 <= limit <= max_limit, max_offset >= 0 and cap >= 1")
        self.orders = dict(orders)
        self.default_sort = next(iter(self.orders))
        self.cursors = cursors
        self.limit = limit
        self.max_limit = max_limit
        self.max_offset = max_offset
        self.totals: tuple[TotalMode, ...] = tuple(totals)
        self.cap = cap

    def request(
        self,
        *,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        offset: int | None = None,
        total: str | None = None,
        filters: Mapping[str, object],
        identity: str | None,
        cursors: Cursors | None = None,
    ) -> PageRequest:
        """The page that a client asks for.

        Args:
            filters: everything else that chooses the rows, as in ``bind``: a cursor is good for the same filters only.
            identity: whose rows they are, None for everyone's. It binds the cursor; the statement must still choose.
            cursors: in place of the ones given to ``Pages``.

        Raises:
            RequestError: a value is not allowed, or the cursor was not issued for this query; status 400.
            ValueError: there is nothing to sign cursors with.
        """
        signing = cursors or self.cursors
        if signing is None:
            raise ValueError("pages need cursors: Pages(..., cursors=Cursors([secret]))")
        name = _allowed("sort", sort, self.orders, self.default_sort)
        mode = _allowed("total", total, self.totals, self.totals[0])
        rows = self.limit if limit is None else limit
        if not 1 <= rows <= self.max_limit:
            raise RequestError(f"limit must lie between 1 and {self.max_limit}", code="invalid_page")
        binding = bind(f"{name} {self.orders[name].fingerprint}", filters, identity)
        if offset is not None:
            self._check_offset(offset, cursor)
        position = Position() if cursor is None else signing.read(cursor, binding)
        return PageRequest(
            self.orders[name], name, rows, position, offset, self.max_offset, mode, self.cap, signing, binding
        )

    def _check_offset(self, offset: int, cursor: str | None) -> None:
        if cursor is not None:
            raise RequestError("a page has either a cursor or an offset", code="invalid_page")
        if offset < 0:
            raise RequestError("offset must not be negative", code="invalid_page")
        if offset > self.max_offset:
            message = f"offset goes to {self.max_offset} at most; follow next_cursor for pages further on"
            raise RequestError(message, code="page_too_deep")


def _allowed(name: str, value: str | None, allowed: Any, default: Any) -> Any:
    if value is None:
        return default
    if value not in allowed:
        raise RequestError(f"{name} must be one of {', '.join(allowed)}", code="invalid_page")
    return value


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page, asked for and found allowed.

    Attributes:
        order, sort: the order, and its name.
        limit: rows.
        position: where the page begins, unless there is an
        offset: rows to skip; ``max_offset`` as in ``Pages``.
        total: what kind of total is wanted; ``cap`` as in ``Pages``.
        cursors, binding: sign the cursors of the pages around.
    """

    order: Order
    sort: str
    limit: int
    position: Position
    offset: int | None
    max_offset: int
    total: TotalMode
    cap: int
    cursors: Cursors
    binding: bytes

    @property
    def shape(self) -> Hashable:
        """Requests of one order and one shape have the same ``statement`` but for its ``parameters``."""
        at = self.position
        values = tuple([None if value is None else term.at_an_end(value) for term, value in self._places()])
        return at.backward, at.inclusive, values, self.offset is None

    @property
    def parameters(self) -> dict[str, Any]:
        """The values in ``statement`` that are this request's."""
        places = {f"{PLACE}{at}": term.sent(value) for at, (term, value) in enumerate(self._places())}
        known = {name: value for name, value in places.items() if value is not None}
        return {**known, ROWS: self.limit + 1, OFFSET: self.offset}

    def _places(self) -> list[tuple[Term, CursorValue]]:
        """The position's values, if it has any, with their terms."""
        return list(zip(self.order.terms, self.position.values, strict=False))

    async def fetch(
        self,
        executor: Executor,
        statement: Statement,
        item: Callable[[Any], T] | None = None,
        *,
        prepared: Executable | None = None,
        counted: Statement | None = None,
        counting: Executable | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Page[T]:
        """The page of the rows that ``statement`` gives.

        Args:
            statement: as for ``page_statement``.
            item: what becomes of each row; by default it stays as it is, or gives way to the single thing it holds.
            prepared: what ``self.statement(statement)`` was for a request of the same order and shape. To make it anew
                costs more than to send it.
            counted: has as many rows as ``statement`` and joins less to them: it is counted in its place.
            counting: as of ``fetch_total``.
            parameters: the values of the parameters that ``statement`` has without a value of their own.

        Raises:
            DatabaseError: one of its kinds.
            ValueError: a value of the order is too long for a cursor, or NULL where the order says it never is.
            TypeError: a value of the order has a type that a cursor cannot hold.

        Cost: 1 round trip for the page, and those of its total.
        """
        with translated():
            found = self.statement(statement) if prepared is None else prepared
            result = await executor.execute(found, {**(parameters or {}), **self.parameters})
        rows, places = _taken_apart(result)
        more = len(rows) > self.limit
        rows, places = rows[: self.limit], places[: self.limit]
        if self.position.backward:
            rows.reverse()
            places.reverse()
        rows_of = statement if counted is None else counted
        total = await fetch_total(executor, rows_of, self.total, cap=self.cap, parameters=parameters, counting=counting)
        return self._page([item(row) for row in rows] if item is not None else rows, places, more, total)

    def statement(
        self, statement: Statement, ranges: Sequence[ColumnElement[bool]] = (), *, fixed: bool = False
    ) -> Any:
        """What ``fetch`` runs: one row more than the page has, with the values of the order behind its columns.

        Args:
            ranges: as for ``page_statement``; not with an offset, which would skip rows of each.
            fixed: for pages of this many rows and no others, without an offset. Of a LIMIT that is a parameter
                PostgreSQL believes that it is a tenth of all rows where it plans for any value, finds that dear, and
                so plans anew at each execution, which takes longer than the page; a number it plans with once. For
                statements that want one plan, whatever their parameters.

        Raises:
            ValueError: there are several ranges and an offset, or an offset where all is fixed.
        """
        if len(ranges) > 1 and self.offset is not None:
            raise ValueError("a page of several ranges has no offset")
        if fixed and self.offset is not None:
            raise ValueError("a page with an offset is not fixed")
        wanted = self.limit + 1
        rows: Any = literal_column(str(wanted)) if fixed else bindparam(ROWS, wanted, type_=Integer())
        found: Any = page_statement(statement, self.order, self.position, rows, ranges)
        return found if self.offset is None else found.offset(bindparam(OFFSET, self.offset, type_=Integer()))

    def _page(self, items: list[Any], places: Sequence[Sequence[Any]], more: bool, total: Total) -> Page[Any]:
        backward, came_from = self.position.backward, bool(self.position.values) or bool(self.offset)
        has_next, has_previous = (came_from, more) if backward else (more, came_from)
        ahead, behind = self._around(places)
        return Page(
            items,
            total,
            has_next,
            has_previous,
            self._cursor(ahead) if has_next else None,
            self._cursor(behind) if has_previous else None,
            self._cursor(Position(backward=True)),
        )

    def _around(self, places: Sequence[Sequence[Any]]) -> tuple[Position, Position]:
        """Where the next page begins and where the previous one does."""
        if places:
            return Position(place_of(self.order, places[-1])), Position(place_of(self.order, places[0]), backward=True)
        # All rows of this page have gone. The page one came from ends with the row at the position itself; of an
        # offset page nobody knows where that is, so the end of the order stands in.
        here = self.position.values
        return Position(here, inclusive=bool(here)), Position(here, backward=True, inclusive=bool(here))

    def _cursor(self, position: Position) -> str:
        return self.cursors.issue(position, self.binding)


def _taken_apart(result: Result[Any]) -> tuple[list[Any], list[Sequence[Any]]]:
    """The rows without what a page statement adds, and that."""
    keys = list(result.keys())
    width = keys.index(f"{KEY_LABEL}0")
    if isinstance(result, CompiledResult):
        first, places = result.apart(width)
        return list(first.scalars() if width == 1 else first), places
    frozen = result.freeze()
    own = frozen().columns(*range(width))
    rows: list[Any] = list(own.scalars() if width == 1 else own)
    return rows, list(frozen().columns(*range(width, len(keys))))
