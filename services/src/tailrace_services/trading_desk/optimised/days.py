"""The statements that read days of signals from what is kept of them. Touches: the connection handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Date, Executable, Row, Select, bindparam, cast, column, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql import ColumnElement

from tailrace.db import Database, PageRequest
from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.trading_desk.api.signals import DAY, DayFilter, DayView, day_view
from tailrace_services.trading_desk.optimised.asked import Asked
from tailrace_services.trading_desk.signal_series import SIGNAL_DAYS

__all__ = ["DATE", "DayQuery"]

kept = SIGNAL_DAYS.c
DATE: ColumnElement[Any] = cast(func.timezone("UTC", kept.day), Date)
"""The day of what is kept; an index has it."""
_FIGURES: Mapping[str, ColumnElement[Any]] = {
    "signals": cast(func.sum(kept.signals), BigInteger),
    "open": func.array_agg(aggregate_order_by(kept.open, kept.open_at, kept.open))[1],
    "high": func.max(kept.high),
    "low": func.min(kept.low),
    "close": func.array_agg(aggregate_order_by(kept.close, kept.close_at.desc(), kept.close.desc()))[1],
    "total": func.sum(kept.total),
}
_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "asset": kept.asset == bindparam("asset"),
    "channel": kept.channel == bindparam("channel"),
    "signal_type": kept.signal_type == bindparam("signal_type"),
    "since": bindparam("since") <= DATE,
    "before": bindparam("before") > DATE,
}
"""By the names of a filter's fields."""


def _view(row: Row[Any]) -> DayView:
    """What is shown of a row."""
    day, count, first, high, low, last, total = tuple(row)
    return day_view(day, count, first, high, low, last, total)


@dataclass(frozen=True, slots=True)
class DayQuery:
    """How a page of days is read; attributes as of ``ItemQuery``."""

    rows: Select[*tuple[Any, ...]]
    page: Executable
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, wanted: DayFilter, asked: PageRequest) -> DayQuery:
        """For what is wanted, in the order and at the place that are asked for."""
        given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
        return cls(*_statements(tuple(given), Asked(asked)), given)

    async def fetch(self, database: Database, page: RequestedPage) -> Listing[DayView]:
        """The page. Cost: 1 round trip."""
        return await page.fetch(database, self.rows, _view, prepared=self.page, parameters=self.parameters)


@lru_cache(maxsize=256)
def _statements(given: tuple[str, ...], asked: Asked) -> tuple[Select[*tuple[Any, ...]], Executable]:
    figures = [figure.label(name) for name, figure in _FIGURES.items()]
    days = select(DATE.label("day"), *figures).where(*[_CONDITIONS[name] for name in given]).group_by(DATE)
    rows: Select[*tuple[Any, ...]] = select(DAY, *[column(name) for name in _FIGURES]).select_from(days.subquery())
    return rows, asked.request.statement(rows)
