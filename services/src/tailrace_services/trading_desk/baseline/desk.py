"""The slow implementation of the service. Touches: the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db.keyset import Statement
from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.identity.accounts import PlainAccounts
from tailrace_services.plain_listing import fetch_listing
from tailrace_services.plain_sessions import Sessions
from tailrace_services.trading_desk.api.audit import changes, item_not_found, noted, stored
from tailrace_services.trading_desk.api.callers import FIND_TRADER
from tailrace_services.trading_desk.api.filters import ItemFilter
from tailrace_services.trading_desk.api.schemas import AuditView, ItemChange, ItemView, NewItem, TraderName
from tailrace_services.trading_desk.api.signals import (
    DayFilter,
    DayView,
    NewSignals,
    SignalFilter,
    SignalView,
    day_view,
    records,
)
from tailrace_services.trading_desk.baseline.signals import days_of, signal_view, signals_of, store
from tailrace_services.trading_desk.model import PRIORITIES, AuditEntry, Item, Signal, Trader

__all__ = ["BaselineDesk"]


class BaselineDesk:
    """``Desk`` without Tailrace, on any database that has the service's tables.

    Args:
        database_url: of the database.

    Attributes:
        accounts: of the traders.
    """

    def __init__(self, database_url: str) -> None:
        self._sessions = Sessions(database_url)
        self.accounts = PlainAccounts(self._sessions, FIND_TRADER)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._sessions.aclose()

    async def items(self, page: RequestedPage, wanted: ItemFilter) -> Listing[Any]:
        """Every item is looked at every time."""

        async def describe(item: Item) -> ItemView:
            return _item_view(item)

        async with self._sessions.begin() as session:
            return await fetch_listing(session, page, _wanted(wanted), describe)

    async def item(self, item_id: int) -> ItemView:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return _item_view(await _find(session, item_id))

    async def create(self, trader_id: int, item: NewItem, now: datetime) -> ItemView:
        """Written, read again, and noted: a statement each."""
        async with self._sessions.begin() as session:
            made = Item(**_columns(noted(item)), created_at=now, updated_at=now)
            session.add(made)
            await session.flush()
            await session.refresh(made)
            fields = {name: (None, value) for name, value in noted(item).items()}
            await _note(session, trader_id, made.id, "created", fields, now)
            return _item_view(made)

    async def change(self, trader_id: int, item_id: int, change: ItemChange, now: datetime) -> ItemView:
        """Read, written, read again, and noted."""
        async with self._sessions.begin() as session:
            item = await _find(session, item_id, lock=True)
            differing = changes(_item_view(item), change)
            if differing:
                for name, value in _columns({name: value for name, (_, value) in differing.items()}).items():
                    setattr(item, name, value)
                item.updated_at = now
                await session.flush()
                await session.refresh(item)
                await _note(session, trader_id, item_id, "changed", differing, now)
            return _item_view(item)

    async def delete(self, trader_id: int, item_id: int, now: datetime) -> None:
        """Read, removed, and noted."""
        async with self._sessions.begin() as session:
            item = await _find(session, item_id, lock=True)
            was = {name: (value, None) for name, value in noted(_item_view(item)).items()}
            await session.delete(item)
            await session.flush()
            await _note(session, trader_id, item_id, "deleted", was, now)

    async def audit(self, page: RequestedPage, item_id: int | None) -> Listing[Any]:
        """Every entry is looked at, and each one's trader asked for."""
        statement = select(AuditEntry)
        if item_id is not None:
            statement = statement.where(AuditEntry.item_id == item_id)
        async with self._sessions.begin() as session:

            async def describe(entry: AuditEntry) -> AuditView:
                trader = (await session.scalars(select(Trader).where(Trader.id == entry.trader_id))).one()
                return AuditView.model_construct(
                    id=entry.id,
                    item_id=entry.item_id,
                    trader=TraderName(id=trader.id, name=trader.name),
                    action=entry.action,
                    changes=entry.changes,
                    created_at=entry.created_at,
                )

            return await fetch_listing(session, page, statement, describe)

    async def signals(self, page: RequestedPage, wanted: SignalFilter) -> Listing[Any]:
        """Every signal is looked at every time."""

        async def describe(signal: Signal) -> SignalView:
            return signal_view(signal)

        async with self._sessions.begin() as session:
            return await fetch_listing(session, page, signals_of(wanted), describe)

    async def days(self, page: RequestedPage, wanted: DayFilter) -> Listing[Any]:
        """Every day is made of its signals every time."""

        async def describe(row: Any) -> DayView:
            return day_view(*row)

        async with self._sessions.begin() as session:
            return await fetch_listing(session, page, days_of(wanted), describe)

    async def take_in(self, new: NewSignals, now: datetime) -> int:
        """An object for each, written by INSERT."""
        async with self._sessions.begin() as session:
            return await store(session, records(new, now))


def _wanted(wanted: ItemFilter) -> Statement:
    statement = select(Item)
    if wanted.category is not None:
        statement = statement.where(Item.category == wanted.category)
    if wanted.statuses:
        statement = statement.where(Item.status.in_(wanted.statuses))
    if wanted.priorities:
        statement = statement.where(Item.priority.in_(wanted.priorities))
    if wanted.tags_any:
        statement = statement.where(Item.tags.overlap(wanted.tags_any))
    if wanted.tags_all:
        statement = statement.where(Item.tags.contains(wanted.tags_all))
    if wanted.details is not None:
        statement = statement.where(Item.details.contains(json.loads(wanted.details)))
    if wanted.q is not None:
        words = func.to_tsvector("english", Item.title + " " + Item.description)
        statement = statement.where(words.bool_op("@@")(func.websearch_to_tsquery("english", wanted.q)))
    if wanted.since is not None:
        statement = statement.where(Item.created_at >= wanted.since)
    if wanted.before is not None:
        statement = statement.where(Item.created_at < wanted.before)
    return statement


async def _find(session: AsyncSession, item_id: int, *, lock: bool = False) -> Item:
    item = await session.get(Item, item_id, with_for_update=lock or None)
    if item is None:
        raise item_not_found(item_id)
    return item


async def _note(
    session: AsyncSession, trader_id: int, item_id: int, action: str, differing: Mapping[str, Any], now: datetime
) -> None:
    entry = {"item_id": item_id, "trader_id": trader_id, "action": action, "changes": differing}
    session.add(AuditEntry(**entry, created_at=now))
    await session.flush()


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"details" if name == "metadata" else name: value for name, value in stored(fields).items()}


def _item_view(item: Item) -> ItemView:
    return ItemView.model_construct(
        id=item.id,
        title=item.title,
        description=item.description,
        category=item.category,
        priority=PRIORITIES[item.priority - 1],
        status=item.status,
        tags=item.tags,
        metadata=item.details,
        created_at=item.created_at,
        updated_at=item.updated_at,
    )
