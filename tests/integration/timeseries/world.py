"""A small series with every figure, rows for it, and the figures counted from the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, DateTime, Integer, MetaData, Numeric, Table, Text

from tailrace.schema import count, sum_
from tailrace.timeseries import DailySummary, TimeSeries, first, last, maximum, minimum
from tailrace.timeseries.summary_sql import SummarySql

COLUMNS = ("time", "asset", "channel", "price", "volume", "note")
TODAY = datetime(2026, 3, 10, 12, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
Row = tuple[Any, ...]


def make_series(**changes: Any) -> TimeSeries:
    """The declaration, with ``changes``."""
    signals = Table(
        "signals",
        MetaData(),
        Column("time", DateTime(timezone=True), nullable=False),
        Column("asset", Text, nullable=False),
        Column("channel", Text, nullable=False),
        Column("price", Numeric(12, 4)),
        Column("volume", Integer),
        Column("note", Text),
    )
    by_asset = DailySummary(
        "signals_daily",
        by=("asset",),
        figures={
            "signals": count(),
            "quoted": count(signals.c.price),
            "large": count(where=signals.c.volume >= 5),
            "volume": sum_(signals.c.volume),
            "low": minimum(signals.c.price),
            "high": maximum(signals.c.price, where=signals.c.volume >= 5),
            "open": first(signals.c.price),
            "close": last(signals.c.price),
        },
    )
    by_channel = DailySummary("signals_by_channel", by=("asset", "channel"), figures={"total": sum_(signals.c.price)})
    declared: dict[str, Any] = {
        "segment_by": ("asset", "channel"),
        "summaries": (by_asset, by_channel),
        **changes,
    }
    return TimeSeries(signals, **declared)


def row(moment: datetime, asset: str = "gold", price: str | None = "1.5", **others: Any) -> Row:
    """One row."""
    values = {"channel": "oanda", "volume": 1, "note": None, **others}
    quoted = None if price is None else Decimal(price)
    return (moment, asset, values["channel"], quoted, values["volume"], values["note"])


def some_rows(start: datetime, number: int, *, step: timedelta = timedelta(minutes=7)) -> list[Row]:
    """Rows that repeat values and moments, with gaps where a column may have them."""
    return [
        row(
            start + step * (n // 2),
            asset=("gold", "silver", "oil")[n % 3],
            price=None if n % 11 == 0 else str(Decimal(n * 37 % 101) / 8),
            channel=("oanda", "lmax")[n % 2],
            volume=n % 10,
            note="late" if n % 5 == 0 else None,
        )
        for n in range(number)
    ]


def live_statements(series: TimeSeries) -> list[tuple[str, str]]:
    """For each summary, what is kept and what the rows say since a moment."""
    statements = []
    for summary in series.summaries:
        text = SummarySql(series.source, series.time, summary)
        keys = ", ".join(summary.key)
        columns = ", ".join([*summary.key, *(f'"{stored.column}"' for stored in text.stored)])
        live = f"SELECT {columns} FROM ({text.aggregate('signals s', 's.time >= $1')}) l ORDER BY {keys}"
        statements.append((f"SELECT {columns} FROM {summary.name} WHERE day >= $1 ORDER BY {keys}", live))
    return statements


async def compare(connection: Any, series: TimeSeries, since: datetime = LONG_AGO) -> int:
    """Assert that every summary equals its rows; returns how many keys were compared."""
    compared = 0
    for kept, live in live_statements(series):
        found, expected = await connection.fetch(kept, since), await connection.fetch(live, since)
        assert [tuple(r) for r in found] == [tuple(r) for r in expected]
        compared += len(found)
    return compared


def insert(rows: Sequence[Row] | Iterable[Row]) -> tuple[str, list[list[Any]]]:
    """One statement for all ``rows``, and its parameters."""
    columns = [list(values) for values in zip(*rows, strict=True)]
    types = ("timestamptz[]", "text[]", "text[]", "numeric[]", "integer[]", "text[]")
    marks = ", ".join(f"${n}::{kind}" for n, kind in enumerate(types, 1))
    return f"INSERT INTO signals ({', '.join(COLUMNS)}) SELECT * FROM unnest({marks})", columns
