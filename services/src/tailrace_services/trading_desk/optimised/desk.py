"""The fast implementation of the service. Touches: the database, and the cache for who asks.

Answers are made here and kept by the response cache in front of the routes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, select

from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.fastapi import Listing, RequestedPage, Tailrace
from tailrace.timeseries import ingest
from tailrace_services.identity.accounts import CachedAccounts
from tailrace_services.trading_desk.api.audit import item_not_found
from tailrace_services.trading_desk.api.callers import FIND_TRADER
from tailrace_services.trading_desk.api.filters import ItemFilter
from tailrace_services.trading_desk.api.schemas import AuditView, ItemChange, ItemView, NewItem, TraderName
from tailrace_services.trading_desk.api.signals import (
    MOST_SIGNALS,
    SIGNAL_FIELDS,
    DayFilter,
    NewSignals,
    SignalFilter,
    records,
)
from tailrace_services.trading_desk.model import AuditEntry, Trader
from tailrace_services.trading_desk.optimised.days import DayQuery
from tailrace_services.trading_desk.optimised.items import ONE, ItemQuery, item_view
from tailrace_services.trading_desk.optimised.objects import trader_tags
from tailrace_services.trading_desk.optimised.signals import SignalQuery
from tailrace_services.trading_desk.optimised.writes import change_item, create_item, delete_item
from tailrace_services.trading_desk.signal_series import SIGNALS

__all__ = ["AUDIT", "OptimisedDesk"]

AUDIT: Select[*tuple[Any, ...]] = select(
    *(AuditEntry.id, AuditEntry.item_id, AuditEntry.trader_id, Trader.name, AuditEntry.action, AuditEntry.changes),
    AuditEntry.created_at,
).join(Trader, Trader.id == AuditEntry.trader_id)


class OptimisedDesk:
    """``Desk`` on Tailrace.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.
        clock: the service's time.

    Attributes:
        accounts: of the traders.
    """

    def __init__(self, tailrace: Tailrace, clock: Clock) -> None:
        self._tailrace = tailrace
        self._clock = clock
        self.accounts = CachedAccounts(tailrace, "trading-desk", FIND_TRADER, trader_tags)

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    async def items(self, page: RequestedPage, wanted: ItemFilter) -> Listing[Any]:
        """One statement; another one for a total."""
        query = ItemQuery.of(wanted, page.request)
        return await page.fetch(self._database, query.rows, item_view, prepared=query.page, parameters=query.parameters)

    async def item(self, item_id: int) -> ItemView:
        """By its number."""
        rows = await self._database.fetch(ONE, {"item_id": item_id})
        if not rows:
            raise item_not_found(item_id)
        return item_view(rows[0])

    async def create(self, trader_id: int, item: NewItem, now: datetime) -> ItemView:
        """One transaction; ends pages that could show it."""
        return await create_item(self._database, trader_id, item, now)

    async def change(self, trader_id: int, item_id: int, change: ItemChange, now: datetime) -> ItemView:
        """One transaction; ends its own answer, and pages that showed it or could."""
        return await self._database.run(lambda session: change_item(session, trader_id, item_id, change, now))

    async def delete(self, trader_id: int, item_id: int, now: datetime) -> None:
        """One transaction, likewise."""
        await self._database.run(lambda session: delete_item(session, trader_id, item_id, now))

    async def audit(self, page: RequestedPage, item_id: int | None) -> Listing[Any]:
        """By number, or by the item's."""
        statement = AUDIT if item_id is None else AUDIT.where(AuditEntry.item_id == bindparam("item_id", item_id))
        return await page.fetch(self._database, statement, _audit_view)

    async def signals(self, page: RequestedPage, wanted: SignalFilter) -> Listing[Any]:
        """One statement if the last days have enough of them, else some more; another one for a total."""
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        query = SignalQuery.of(wanted, page.request, now)
        return await query.fetch(self._database, page)

    async def days(self, page: RequestedPage, wanted: DayFilter) -> Listing[Any]:
        """One statement."""
        query = DayQuery.of(wanted, page.request)
        return await query.fetch(self._database, page)

    async def take_in(self, new: NewSignals, now: datetime) -> int:
        """One COPY in one transaction; ends answers about the assets and channels that have new signals."""
        done = await ingest(
            self._database, SIGNALS, records(new, now), columns=SIGNAL_FIELDS, batch=MOST_SIGNALS, clock=self._clock
        )
        return done.rows


def _audit_view(row: Row[Any]) -> AuditView:
    return AuditView.model_construct(
        id=row.id,
        item_id=row.item_id,
        trader=TraderName.model_construct(id=row.trader_id, name=row.name),
        action=row.action,
        changes=row.changes,
        created_at=row.created_at,
    )
