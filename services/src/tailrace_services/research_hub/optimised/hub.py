"""The fast implementation of the service. Touches: the database, and the cache for who asks.

Answers are made here and kept by the response cache in front of the routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tailrace.db import Database
from tailrace.fastapi import Listing, RequestedPage, Tailrace
from tailrace_services.identity.accounts import CachedAccounts
from tailrace_services.research_hub.api.callers import FIND_KEY
from tailrace_services.research_hub.api.hub import user_not_found
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
from tailrace_services.research_hub.optimised import cards, collection, people, tokens
from tailrace_services.research_hub.optimised.health import OptimisedHealth
from tailrace_services.research_hub.optimised.listing import Pager, Reading
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
        self._pager = Pager()
        self.accounts = CachedAccounts(tailrace, "research-hub", FIND_KEY, key_tags)

    async def aclose(self) -> None:
        """Close what is its own; the rest is its ``Tailrace``'s."""
        await self.collector.aclose()

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    async def note_uses(self, uses: Mapping[str, object]) -> None:
        """One statement; ends the accounts of the keys that it writes, which are then read again."""
        await self._database.run(lambda session: session.execute(NOTE_USES, uses), idempotent=True)

    async def cards(self, page: RequestedPage) -> Listing[Any]:
        """One statement, as every page; another one for a total."""
        return await self._page(page, cards.PUBLISHED)

    async def own_cards(self, page: RequestedPage, user_id: int) -> Listing[Any]:
        """The same of one user's."""
        return await self._page(page, cards.OWN, user_id=user_id)

    async def create_card(self, user_id: int, card: NewCard, now: datetime) -> CardView:
        """One transaction; ends everybody's pages and the user's own."""
        return await self._database.run(lambda session: cards.create_card(session, user_id, card, now))

    async def tokens(self, page: RequestedPage, user_id: int, kind: str | None) -> TokenAccount:
        """One statement; two of one moment where the page is empty, and another one for a total."""
        if page.request.total == "none":
            found = await tokens.account_at_once(self._database, self._pager, page, user_id, kind)
            if found is not None:
                return found
        async with self._database.session() as session:
            return await tokens.account(session, self._pager, page, user_id, kind)

    async def transfer(self, asked: Asked, new: NewTransfer, now: datetime) -> Outcome:
        """One transaction, which may be run again whatever became of it: the key sees to that."""
        return await self._database.run(lambda session: tokens.transfer(session, asked, new, now), idempotent=True)

    async def attributions(self, page: RequestedPage, card_id: int | None, content_id: int | None) -> Listing[Any]:
        """By the index of what is asked for."""
        reading = collection.ATTRIBUTIONS[card_id is not None, content_id is not None]
        return await self._page(page, reading, card_id=card_id, content_id=content_id)

    async def contents(self, page: RequestedPage, platform: str | None, state: ContentState | None) -> Listing[Any]:
        """By the index of what is asked for."""
        return await self._page(page, collection.CONTENTS[state, platform is not None], platform=platform)

    async def authors(self, page: RequestedPage, q: str) -> Listing[Any]:
        """By trigrams; those that are like it are ranked, and no others."""
        return await self._page(page, collection.AUTHORS, q=q)

    async def patterns(self, page: RequestedPage, type_: PatternType | None) -> Listing[Any]:
        """In order of confidence or of discovery."""
        return await self._page(page, collection.PATTERNS[type_ is not None], type=type_)

    async def users(self, page: RequestedPage, username: str | None) -> Listing[Any]:
        """By number, or by name."""
        return await self._page(page, people.USERS[username is not None], username=username)

    async def find_user(self, email: str) -> UserDetails:
        """One probe of an index."""
        rows = await self._database.fetch(people.BY_EMAIL, {"email": email})
        if not rows:
            raise user_not_found()
        return UserDetails.model_construct(**rows[0]._mapping)

    async def sessions(self, page: RequestedPage, status: SessionStatus) -> Listing[Any]:
        """By status, in order."""
        return await self._page(page, people.SESSIONS, status=status)

    async def create_session(self, user_id: int, session: NewSession, now: datetime) -> SessionView:
        """One transaction."""
        return await self._database.run(lambda own: people.create_session(own, user_id, session, now))

    async def _page(self, page: RequestedPage, reading: Reading, **parameters: Any) -> Listing[Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        return await self._pager.fetch(self._database, page, reading, given)
