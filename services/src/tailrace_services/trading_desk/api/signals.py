"""Signals: which there are to ask for, how they are shown, what is taken in. Pure: values and declarations.

Prices are exact: they are decimal numbers in the database and strings in answers. Moments are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import FailFast, Field, PlainSerializer, model_validator
from sqlalchemy import Date, column

from tailrace.db import Order, Pages
from tailrace.db.totals import TotalMode
from tailrace.errors import RequestError
from tailrace_services.bodies import Body, Printable, RequestBody
from tailrace_services.instant import Instant
from tailrace_services.trading_desk.model import Signal

__all__ = [
    "AHEAD",
    "DAY",
    "DAYS",
    "KEEP",
    "MOST_SIGNALS",
    "SIGNALS",
    "SIGNAL_FIELDS",
    "DayFilter",
    "DayView",
    "NewSignals",
    "SignalFilter",
    "SignalView",
    "Stored",
    "day_view",
    "records",
    "requested_days",
    "requested_signals",
]

SignalType = Literal["quote", "buy", "sell", "close"]
"""As in ``model``; a test holds them together."""

MOST_SIGNALS = 10_000
"""That one request may bring."""
KEEP = timedelta(days=730)
"""How long signals are kept."""
AHEAD = timedelta(days=1)
"""How much later than the service's clock a signal may be."""

SIGNAL_FIELDS = (
    *("time", "asset", "signal_type", "channel", "price", "bid", "ask", "stop_loss", "take_profit", "raw_message"),
)
"""What is written of a signal."""

signals = Signal.__table__.c
TOTALS: Sequence[TotalMode] = ("none", "capped", "exact", "estimated")

SIGNALS = Pages(
    {
        "-time": Order(signals.time.desc(), key=signals.id),
        "time": Order(signals.time, key=signals.id),
    },
    limit=50,
    max_limit=1_000,
    totals=TOTALS,
    max_offset=0,
)
DAY = column("day", Date())
"""The UTC day that a row of a summary is of, by whichever statement."""
DAYS = Pages({"-day": Order(key=DAY.desc()), "day": Order(key=DAY)}, limit=31, max_limit=366, max_offset=0)

_MEAN_STEP = Decimal("0.00000001")

Asset = Annotated[str, Field(min_length=1, max_length=32), Printable]
Channel = Annotated[str, Field(min_length=1, max_length=64), Printable]
Message = Annotated[str, Field(max_length=4_000), Printable]
Shown = Annotated[Decimal, PlainSerializer(lambda price: f"{price:f}", str, when_used="json")]
"""A price in an answer: all its digits, never an exponent."""
Price = Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=8)]


class SignalView(Body):
    """A signal."""

    id: int
    time: datetime
    asset: str
    signal_type: SignalType
    channel: str
    price: Annotated[Shown, Field(description="Of a quote the middle of `bid` and `ask`.")]
    bid: Shown | None
    ask: Shown | None
    stop_loss: Shown | None
    take_profit: Shown | None
    raw_message: str | None


class DayView(Body):
    """The signals of one UTC day: how many, and the first, highest, lowest, last and mean of their prices."""

    day: date
    signals: int
    open: Annotated[Shown, Field(description="The first; of several at one moment the lowest.")]
    high: Shown
    low: Shown
    close: Annotated[Shown, Field(description="The last; of several at one moment the highest.")]
    mean: Annotated[Shown, Field(description="To eight digits after the point.")]


class NewSignal(RequestBody):
    """A signal to store. A quote has ``bid`` and ``ask``, anything else a ``price``."""

    time: Instant
    asset: Asset
    signal_type: SignalType
    channel: Channel
    price: Price | None = None
    bid: Price | None = None
    ask: Price | None = None
    stop_loss: Price | None = None
    take_profit: Price | None = None
    raw_message: Message | None = None

    @model_validator(mode="after")
    def _quoted_or_priced(self) -> NewSignal:
        if self.signal_type == "quote":
            if self.bid is None or self.ask is None or self.price is not None:
                raise ValueError("a quote has bid and ask; its price is the middle of them")
            if self.bid > self.ask:
                raise ValueError("bid must not be above ask")
        elif self.price is None or self.bid is not None or self.ask is not None:
            raise ValueError("what is no quote has a price, and neither bid nor ask")
        return self

    @property
    def level(self) -> Decimal:
        """The price that it has, or the middle of those."""
        if self.price is not None:
            return self.price
        assert self.bid is not None
        assert self.ask is not None
        return (self.bid + self.ask) / 2


class NewSignals(RequestBody):
    """``POST /api/signals``: all of them are stored, or none; the first that is wrong is named by its place."""

    signals: Annotated[list[NewSignal], FailFast(), Field(min_length=1, max_length=MOST_SIGNALS)]


class Stored(Body):
    """How many were stored."""

    stored: int


@dataclass(frozen=True, slots=True)
class SignalFilter:
    """Which signals; what is None does not matter. ``since`` and ``before``: at or after, and before."""

    asset: str | None = None
    channel: str | None = None
    signal_type: str | None = None
    since: datetime | None = None
    before: datetime | None = None


async def requested_signals(
    asset: Annotated[Asset | None, Query()] = None,
    channel: Annotated[Channel | None, Query()] = None,
    signal_type: Annotated[SignalType | None, Query()] = None,
    since: Annotated[Instant | None, Query(description="With its offset from UTC.")] = None,
    before: Annotated[Instant | None, Query(description="With its offset from UTC.")] = None,
) -> SignalFilter:
    """The filter that a request asks for, a dependency of FastAPI."""
    return SignalFilter(asset, channel, signal_type, since, before)


@dataclass(frozen=True, slots=True)
class DayFilter:
    """Which signals a summary is of; ``since`` and ``before`` are days, the latter excluded."""

    asset: str
    channel: str | None = None
    signal_type: str | None = None
    since: date | None = None
    before: date | None = None


async def requested_days(
    asset: Annotated[Asset, Query(description="Prices of several assets have no mean.")],
    channel: Annotated[Channel | None, Query()] = None,
    signal_type: Annotated[SignalType | None, Query()] = None,
    since: Annotated[date | None, Query(description="The first day.")] = None,
    before: Annotated[date | None, Query(description="The day behind the last.")] = None,
) -> DayFilter:
    """The same for a summary."""
    return DayFilter(asset, channel, signal_type, since, before)


def records(new: NewSignals, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The rows that ``new`` brings, in the order of :data:`SIGNAL_FIELDS`.

    Raises:
        RequestError: 422, one is older than what is kept, or lies in the future.
    """
    oldest, latest = now - KEEP, now + AHEAD
    for number, signal in enumerate(new.signals):
        if not oldest <= signal.time <= latest:
            raise RequestError(
                f"signals.{number}: its time must lie between {oldest:%Y-%m-%d %H:%M} and {latest:%Y-%m-%d %H:%M} UTC",
                status=422,
                code="signal_out_of_range",
            )
        values = {name: getattr(signal, name) for name in SIGNAL_FIELDS}
        values["price"] = signal.level
        yield tuple(values.values())


def day_view(
    day: date, count: int, first: Decimal, high: Decimal, low: Decimal, last: Decimal, total: Decimal
) -> DayView:
    """What is shown of a day: its number of signals, their prices, and the sum of those.

    Of prices that are equal, ``1.5`` and ``1.50``, it does not matter which one was kept.

    >>> day_view(date(2026, 3, 1), 3, Decimal(3), Decimal(5), Decimal(2), Decimal(2), Decimal(10)).mean
    Decimal('3.33333333')
    """
    return DayView.model_construct(
        day=day,
        signals=count,
        open=first.normalize(),
        high=high.normalize(),
        low=low.normalize(),
        close=last.normalize(),
        mean=(total / count).quantize(_MEAN_STEP),
    )
