"""The statements that read signals, made once for each way to ask, and how they are written. Touches: the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable, Row, Select, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from tailrace.db import PageRequest
from tailrace_services.trading_desk.api.signals import SIGNAL_FIELDS, SignalFilter, SignalView
from tailrace_services.trading_desk.model import Signal
from tailrace_services.trading_desk.optimised.asked import Asked

__all__ = ["SignalQuery", "signal_view", "store"]

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
    return SignalView.model_construct(
        id=number,
        time=time,
        asset=asset,
        signal_type=kind,
        channel=channel,
        price=price,
        bid=bid,
        ask=ask,
        stop_loss=stop_loss,
        take_profit=take_profit,
        raw_message=raw_message,
    )


@dataclass(frozen=True, slots=True)
class SignalQuery:
    """How a page of signals is read; attributes as of ``ItemQuery``."""

    rows: Select[*tuple[Any, ...]]
    page: Executable
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, wanted: SignalFilter, asked: PageRequest) -> SignalQuery:
        """For what is wanted, in the order and at the place that are asked for."""
        given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
        return cls(*_statements(tuple(given), Asked(asked)), given)


@lru_cache(maxsize=256)
def _statements(given: tuple[str, ...], asked: Asked) -> tuple[Select[*tuple[Any, ...]], Executable]:
    rows = _SIGNALS.where(*[_CONDITIONS[name] for name in given])
    return rows, asked.request.statement(rows)


async def store(session: AsyncSession, rows: Iterable[tuple[Any, ...]]) -> int:
    """Store rows of ``SIGNAL_FIELDS`` by COPY. Cost: 2 round trips, and what the rows take."""
    # COPY goes past SQLAlchemy; this lets the session know that its transaction writes, and takes no other lock.
    await session.execute(text("LOCK TABLE signals IN ROW EXCLUSIVE MODE"))
    raw: Any = await (await session.connection()).get_raw_connection()
    copied: str = await raw.driver_connection.copy_records_to_table("signals", records=rows, columns=SIGNAL_FIELDS)
    return int(copied.removeprefix("COPY "))
