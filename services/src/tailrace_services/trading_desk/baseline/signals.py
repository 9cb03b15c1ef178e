"""Signals as the slow implementation reads and writes them. Touches: the database, by the session handed in.

Days are made of their signals every time that somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Date, cast, column, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db.keyset import Statement
from tailrace_services.trading_desk.api.signals import DAY, SIGNAL_FIELDS, DayFilter, SignalFilter, SignalView
from tailrace_services.trading_desk.model import Signal

__all__ = ["days_of", "signal_view", "signals_of", "store"]


def signals_of(wanted: SignalFilter) -> Statement:
    """The signals that are wanted."""
    statement = select(Signal)
    for name, value in (("asset", wanted.asset), ("channel", wanted.channel), ("signal_type", wanted.signal_type)):
        if value is not None:
            statement = statement.where(getattr(Signal, name) == value)
    if wanted.since is not None:
        statement = statement.where(Signal.time >= wanted.since)
    if wanted.before is not None:
        statement = statement.where(Signal.time < wanted.before)
    return statement


def days_of(wanted: DayFilter) -> Statement:
    """A row for each day of the signals that are wanted."""
    day = cast(func.timezone("UTC", Signal.time), Date)
    prices = func.array_agg(aggregate_order_by(Signal.price, Signal.time, Signal.price))
    figures = {
        "signals": func.count(),
        "open": prices[1],
        "high": func.max(Signal.price),
        "low": func.min(Signal.price),
        "close": prices[func.count()],
        "total": func.sum(Signal.price),
    }
    filtered = SignalFilter(wanted.asset, wanted.channel, wanted.signal_type)
    live = signals_of(filtered).with_only_columns(day.label("day"), *[f.label(name) for name, f in figures.items()])
    if wanted.since is not None:
        live = live.where(day >= wanted.since)
    if wanted.before is not None:
        live = live.where(day < wanted.before)
    return select(DAY, *[column(name) for name in figures]).select_from(live.group_by(day).subquery())


async def store(session: AsyncSession, rows: Iterable[tuple[Any, ...]]) -> int:
    """Store rows of ``SIGNAL_FIELDS``, each an object of its own."""
    made = [Signal(**dict(zip(SIGNAL_FIELDS, row, strict=True))) for row in rows]
    session.add_all(made)
    await session.flush()
    return len(made)


def signal_view(signal: Signal) -> SignalView:
    """What is shown of one."""
    return SignalView.model_construct(id=signal.id, **{name: getattr(signal, name) for name in SIGNAL_FIELDS})
