"""The statements that read signals, made once for each way to ask. Touches: the connection handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Executable, Result, Row, Select, bindparam, literal_column, select
from sqlalchemy.sql import ColumnElement

from tailrace.db import Database, PageRequest
from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.trading_desk.api.signals import KEEP, SIGNAL_FIELDS, SignalFilter, SignalView
from tailrace_services.trading_desk.model import Signal
from tailrace_services.trading_desk.optimised.asked import Asked

__all__ = ["SignalQuery", "signal_view"]

Window: TypeAlias = tuple[datetime | None, datetime | None]
"""From a midnight, until before another."""
_WIDTHS = (timedelta(days=2), timedelta(days=16), timedelta(days=128))
_DAY = timedelta(days=1)

signals = Signal.__table__.c
_SIGNALS: Select[*tuple[Any, ...]] = select(signals.id, *[signals[name] for name in SIGNAL_FIELDS])
_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "asset": signals.asset == bindparam("asset"),
    "channel": signals.channel == bindparam("channel"),
    "signal_type": signals.signal_type == bindparam("signal_type"),
    "since": signals.time >= bindparam("since"),
    "before": signals.time < bindparam("before"),
}
"""By the names of a filter's fields."""


def signal_view(row: Row[Any]) -> SignalView:
    """What is shown of a row."""
    number, time, asset, kind, channel, price, bid, ask, stop_loss, take_profit, raw_message = tuple(row)
    return SignalView.of(
        {
            "id": number,
            "time": time,
            "asset": asset,
            "signal_type": kind,
            "channel": channel,
            "price": price,
            "bid": bid,
            "ask": ask,
            "stop_loss": stop_loss,
            "take_profit": take_profit,
            "raw_message": raw_message,
        }
    )


@dataclass(frozen=True, slots=True)
class SignalQuery:
    """How a page of signals is read: of few days at first, and of more only while they do not fill it.

    Two years are 730 partitions. A statement that may need all of them has to be planned for all and locks them all,
    and the server has no room for many who do that at once.

    Attributes:
        rows: which signals there are, for totals as well.
        pages: the page's statement for each window of days, the last of them without an end.
        parameters: the values in all that are this filter's.
    """

    rows: Select[*tuple[Any, ...]]
    pages: Sequence[Executable]
    parameters: Mapping[str, Any]
    limit: int

    @classmethod
    def of(cls, wanted: SignalFilter, asked: PageRequest, now: datetime) -> SignalQuery:
        """For what is wanted, in the order and at the place that are asked for."""
        given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
        names, like = tuple(given), Asked(asked)
        pages = [_page(names, like, *window) for window in _windows(wanted, asked, now)]
        return cls(_rows(names), pages, given, asked.limit)

    async def fetch(self, database: Database, page: RequestedPage) -> Listing[SignalView]:
        """The page. Cost: 1 round trip for each window that is looked into, and those of its total."""
        return await page.fetch(
            _Widening(database, self), self.rows, signal_view, prepared=self.pages[-1], parameters=self.parameters
        )


class _Widening:
    """Executes the statement of a page for one window after the other, until the page is full; others as they are."""

    def __init__(self, database: Database, query: SignalQuery) -> None:
        self._database = database
        self._query = query

    async def execute(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Result[Any]:
        """The first window's rows that are enough, or those of the last window."""
        if statement is self._query.pages[-1]:
            for narrower in self._query.pages[:-1]:
                found = (await self._database.execute(narrower, parameters)).freeze()
                if len(found.data) > self._query.limit:
                    return found()
        return await self._database.execute(statement, parameters)


def _windows(wanted: SignalFilter, asked: PageRequest, now: datetime) -> list[Window]:
    """The days to look into, from where the page begins; a bound is None where there is none to be had."""
    at = asked.position
    falling = asked.sort.startswith("-") != at.backward
    place = at.values[0] if at.values else None
    assert place is None or isinstance(place, datetime)
    begin = place or (wanted.before if falling else wanted.since)
    end = wanted.since if falling else wanted.before
    known = None if begin is None else _midnight(begin)
    start = known or _midnight(now if falling else now - KEEP)
    windows: list[Window] = []
    for width in _WIDTHS:
        if falling:
            last = _moved(start, -width)
            if last is None or (end is not None and end >= last):
                break
            windows.append((last, known and _moved(known, _DAY)))
        else:
            last = _moved(start, width)
            if last is None or (end is not None and end <= last):
                break
            windows.append((known, last))
    final = end and _midnight(end)
    return [*windows, (final, known and _moved(known, _DAY)) if falling else (known, final and _moved(final, _DAY))]


def _moved(moment: datetime, by: timedelta) -> datetime | None:
    """None beyond the first and the last year."""
    try:
        return moment + by
    except OverflowError:
        return None


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@lru_cache(maxsize=256)
def _rows(given: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    return _SIGNALS.where(*[_CONDITIONS[name] for name in given])


@lru_cache(maxsize=1024)
def _page(given: tuple[str, ...], asked: Asked, since: datetime | None, before: datetime | None) -> Executable:
    """The window is part of the text: only then are partitions left out before they are locked."""
    rows = _rows(given)
    if since is not None:
        rows = rows.where(signals.time >= _literal(since))
    if before is not None:
        rows = rows.where(signals.time < _literal(before))
    page: Executable = asked.request.statement(rows)
    return page


def _literal(day: datetime) -> ColumnElement[datetime]:
    # ``%Y`` would have as few digits as the year has, which PostgreSQL does not read.
    return literal_column(f"timestamptz '{day.date()} 00:00:00+00'", signals.time.type)
