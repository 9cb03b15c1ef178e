"""The fast implementation of the service. Touches: the database, and the cache for who asks.

Answers are made here and kept by the response cache in front of the routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tailrace.db import Database
from tailrace.db.keyset import Statement
from tailrace.fastapi import Listing, RequestedPage, Tailrace
from tailrace_services.identity.accounts import CachedAccounts
from tailrace_services.research_hub.api.callers import find_key
from tailrace_services.research_hub.api.schemas import CardView, NewCard
from tailrace_services.research_hub.optimised import cards, tokens
from tailrace_services.research_hub.optimised.health import OptimisedHealth
from tailrace_services.research_hub.optimised.scraping import OptimisedCollector
from tailrace_services.research_hub.optimised.watches import key_tags
from tailrace_services.research_hub.tokens.idempotency import Asked, Outcome
from tailrace_services.research_hub.tokens.transfers import NewTransfer, TokenAccount

__all__ = ["OptimisedHub"]


class OptimisedHub:
    """``Hub`` on Tailrace.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.

    Attributes:
        accounts: of those who may ask.
        health: how it is.
        collector: collects posts.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace
        self.collector = OptimisedCollector(tailrace)
        self.health = OptimisedHealth(tailrace)
        self.accounts = CachedAccounts(tailrace, "research-hub", find_key, key_tags)

    async def aclose(self) -> None:
        """Close what is its own; the rest is its ``Tailrace``'s."""
        await self.collector.aclose()

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    async def cards(self, page: RequestedPage) -> Listing[Any]:
        """One statement; another one for a total."""
        return await self._page(page, cards.PUBLISHED, cards.card_view)

    async def own_cards(self, page: RequestedPage, user_id: int) -> Listing[Any]:
        """One statement; another one for a total."""
        return await self._page(page, cards.OWN, cards.card_view, {"user_id": user_id})

    async def create_card(self, user_id: int, card: NewCard, now: datetime) -> CardView:
        """One transaction; ends everybody's first pages and the user's own."""
        return await self._database.run(lambda session: cards.create_card(session, user_id, card, now))

    async def tokens(self, page: RequestedPage, user_id: int, kind: str | None) -> TokenAccount:
        """Two statements of one moment; another one for a total."""
        async with self._database.session() as session:
            return await tokens.account(session, page, user_id, kind)

    async def transfer(self, asked: Asked, new: NewTransfer, now: datetime) -> Outcome:
        """One transaction, which may be run again whatever became of it: the key sees to that."""
        return await self._database.run(lambda session: tokens.transfer(session, asked, new, now), idempotent=True)

    async def _page(
        self, page: RequestedPage, statement: Statement, item: Any, parameters: Mapping[str, Any] | None = None
    ) -> Listing[Any]:
        async with self._database.session() as session:
            return await page.fetch(session, statement, item, parameters=parameters)
