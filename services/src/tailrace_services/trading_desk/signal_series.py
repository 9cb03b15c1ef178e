"""How the optimised service keeps signals: a series in daily partitions, with its figures by day. Pure: declarations.

The series has the columns of ``model``'s table and no key: numbers come from one sequence, and a unique index would be
the largest part of what an old day takes.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Column, Identity, Table

from tailrace.schema import count, sum_
from tailrace.timeseries import DailySummary, TimeSeries, first, last, maximum, minimum
from tailrace_services.data.tables import new_metadata, one_of
from tailrace_services.trading_desk.api.signals import KEEP
from tailrace_services.trading_desk.model import SIGNAL_TYPES, Signal

__all__ = ["SIGNALS", "SIGNAL_DAYS"]

SHRUNKEN_AFTER = timedelta(days=30)
"""How old a day is when it is written anew to take less room."""

_table = Table(
    Signal.__tablename__,
    new_metadata(),
    *[
        Column(column.name, column.type, *([Identity()] if column.identity else []), nullable=column.nullable)
        for column in Signal.__table__.c
    ],
    one_of("signal_type", SIGNAL_TYPES),
)

SIGNALS = TimeSeries(
    _table,
    segment_by=("asset", "channel", "signal_type"),
    compress_after=SHRUNKEN_AFTER,
    keep=KEEP,
    summaries=(
        DailySummary(
            "signals_daily",
            by=("asset", "channel", "signal_type"),
            figures={
                "signals": count(),
                "open": first(_table.c.price),
                "high": maximum(_table.c.price),
                "low": minimum(_table.c.price),
                "close": last(_table.c.price),
                "total": sum_(_table.c.price),
            },
        ),
    ),
    indexes=(("time", "id"), ("asset", "time", "id")),
)
SIGNAL_DAYS = SIGNALS.summary("signals_daily")
"""Its figures by day, of each type of an asset's signals by a channel."""
