"""The slow implementation of the service. Touches: the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tailrace.fastapi import Listing, RequestedPage
from tailrace.settings import OutboundSettings
from tailrace_services.identity.accounts import PlainAccounts
from tailrace_services.plain_sessions import Sessions
from tailrace_services.research_hub.api.callers import FIND_KEY
from tailrace_services.research_hub.api.key_uses import NOTE_USES
from tailrace_services.research_hub.api.schemas import (
    CardView,
    ContentState,
    NewCard,
    NewSession,
    PatternType,
    SessionStatus,
    SessionView,
    UserDetails,
)
from tailrace_services.research_hub.baseline import cards, collection, people, tokens
from tailrace_services.research_hub.baseline.health import BaselineHealth
from tailrace_services.research_hub.baseline.scraping import BaselineCollector
from tailrace_services.research_hub.tokens.idempotency import Asked, Outcome
from tailrace_services.research_hub.tokens.transfers import NewTransfer, TokenAccount

__all__ = ["BaselineHub"]


class BaselineHub:
    """``Hub`` without Tailrace, on any database that has the service's tables.

    Args:
        database_url: of the database.
        outbound: what may be asked of others.

    Attributes:
        accounts: of those who may ask.
        health: how it is.
        collector: collects posts.
    """

    def __init__(self, database_url: str, outbound: OutboundSettings | None = None) -> None:
        self._sessions = Sessions(database_url)
        self.collector = BaselineCollector(self._sessions, outbound or OutboundSettings())
        self.health = BaselineHealth(self._sessions)
        self.accounts = PlainAccounts(self._sessions, FIND_KEY)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.collector.aclose()
        await self._sessions.aclose()

    async def note_uses(self, uses: Mapping[str, object]) -> None:
        """One statement."""
        async with self._sessions.begin() as session:
            await session.execute(NOTE_USES, uses)

    async def cards(self, page: RequestedPage) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await cards.cards(session, page)

    async def own_cards(self, page: RequestedPage, user_id: int) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await cards.own_cards(session, page, user_id)

    async def create_card(self, user_id: int, card: NewCard, now: datetime) -> CardView:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await cards.create_card(session, user_id, card, now)

    async def tokens(self, page: RequestedPage, user_id: int, kind: str | None) -> TokenAccount:
        """Added up anew every time."""
        async with self._sessions.begin() as session:
            return await tokens.account(session, page, user_id, kind)

    async def transfer(self, asked: Asked, new: NewTransfer, now: datetime) -> Outcome:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await tokens.transfer(session, asked, new, now)

    async def attributions(self, page: RequestedPage, card_id: int | None, content_id: int | None) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await collection.attributions(session, page, card_id, content_id)

    async def contents(self, page: RequestedPage, platform: str | None, state: ContentState | None) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await collection.contents(session, page, platform, state)

    async def authors(self, page: RequestedPage, q: str) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await collection.authors(session, page, q)

    async def patterns(self, page: RequestedPage, type_: PatternType | None) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await collection.patterns(session, page, type_)

    async def users(self, page: RequestedPage, username: str | None) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await people.users(session, page, username)

    async def find_user(self, email: str) -> UserDetails:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await people.find_user(session, email)

    async def sessions(self, page: RequestedPage, status: SessionStatus) -> Listing[Any]:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await people.sessions(session, page, status)

    async def create_session(self, user_id: int, session: NewSession, now: datetime) -> SessionView:
        """One transaction."""
        async with self._sessions.begin() as own:
            return await people.create_session(own, user_id, session, now)
