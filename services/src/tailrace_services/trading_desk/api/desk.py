"""What an implementation of the service does. Pure: a protocol."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.identity.accounts import Accounts
from tailrace_services.trading_desk.api.filters import ItemFilter
from tailrace_services.trading_desk.api.schemas import ItemChange, ItemView, NewItem
from tailrace_services.trading_desk.api.signals import DayFilter, NewSignals, SignalFilter

__all__ = ["Desk"]


class Desk(Protocol):
    """Answers and writes. Database trouble is raised as ``TailraceError``."""

    @property
    def accounts(self) -> Accounts:
        """Who may ask."""
        ...

    async def items(self, page: RequestedPage, wanted: ItemFilter) -> Listing[Any]:
        """A page of the items that are wanted: ``ItemView``."""
        ...

    async def item(self, item_id: int) -> ItemView:
        """One; ``RequestError`` 404 if there is none."""
        ...

    async def create(self, trader_id: int, item: NewItem, now: datetime) -> ItemView:
        """Store an item, and in the log who did."""
        ...

    async def change(self, trader_id: int, item_id: int, change: ItemChange, now: datetime) -> ItemView:
        """Change one, and note it if anything differs; ``RequestError`` 404 if there is none."""
        ...

    async def delete(self, trader_id: int, item_id: int, now: datetime) -> None:
        """Remove one, and note it; ``RequestError`` 404 if there is none."""
        ...

    async def audit(self, page: RequestedPage, item_id: int | None) -> Listing[Any]:
        """A page of the log: ``AuditView``; of one item, if asked."""
        ...

    async def signals(self, page: RequestedPage, wanted: SignalFilter) -> Listing[Any]:
        """A page of the signals that are wanted: ``SignalView``."""
        ...

    async def days(self, page: RequestedPage, wanted: DayFilter) -> Listing[Any]:
        """A page of the days that have signals that are wanted: ``DayView``."""
        ...

    async def take_in(self, new: NewSignals, now: datetime) -> int:
        """Store all signals, and return how many; or none, by ``RequestError`` 422."""
        ...
