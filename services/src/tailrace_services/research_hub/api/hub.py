"""What an implementation of the service does. Pure: a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from tailrace.errors import RequestError
from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.identity.accounts import Accounts
from tailrace_services.research_hub.api.health import Health
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
from tailrace_services.research_hub.api.scrape import Collector
from tailrace_services.research_hub.tokens.idempotency import Asked, Outcome
from tailrace_services.research_hub.tokens.transfers import NewTransfer, TokenAccount

__all__ = ["Hub", "content_not_found", "user_not_found"]


class Hub(Protocol):
    """Answers and writes. Database trouble is raised as ``TailraceError``."""

    @property
    def accounts(self) -> Accounts:
        """Who may ask as somebody."""
        ...

    @property
    def health(self) -> Health:
        """How it is."""
        ...

    @property
    def collector(self) -> Collector:
        """Collects posts."""
        ...

    async def note_uses(self, uses: Mapping[str, object]) -> None:
        """Run ``key_uses.NOTE_USES`` with these parameters."""
        ...

    async def cards(self, page: RequestedPage) -> Listing[Any]:
        """A page of everybody's published cards: ``CardView``."""
        ...

    async def own_cards(self, page: RequestedPage, user_id: int) -> Listing[Any]:
        """A page of a user's own cards, drafts as well: ``CardView``."""
        ...

    async def create_card(self, user_id: int, card: NewCard, now: datetime) -> CardView:
        """Store a card; ``RequestError`` 422 if a post that it names does not exist."""
        ...

    async def tokens(self, page: RequestedPage, user_id: int, kind: str | None) -> TokenAccount:
        """What a user has, and a page of its entries; with ``kind``, of those of that type."""
        ...

    async def transfer(self, asked: Asked, new: NewTransfer, now: datetime) -> Outcome:
        """Give a user's tokens away, once for each ``asked.key``; a refusal is an outcome, too.

        Raises:
            RequestError: 422, the key was used for something else.
        """
        ...

    async def attributions(self, page: RequestedPage, card_id: int | None, content_id: int | None) -> Listing[Any]:
        """A page of what published cards go back to: ``AttributionView``; of one card or to one post, if asked."""
        ...

    async def contents(self, page: RequestedPage, platform: str | None, state: ContentState | None) -> Listing[Any]:
        """A page of posts: ``ContentView``; of one platform or in one state, if they say so."""
        ...

    async def authors(self, page: RequestedPage, q: str) -> Listing[Any]:
        """A page of the authors whose names are like ``q``: ``AuthorView``."""
        ...

    async def patterns(self, page: RequestedPage, type_: PatternType | None) -> Listing[Any]:
        """A page of patterns: ``PatternView``; of one type, if it says so."""
        ...

    async def users(self, page: RequestedPage, username: str | None) -> Listing[Any]:
        """A page of users: ``UserView``; of that name, in upper or lower case, if it says so."""
        ...

    async def find_user(self, email: str) -> UserDetails:
        """The user with an address, in upper or lower case; ``RequestError`` 404 if there is none."""
        ...

    async def sessions(self, page: RequestedPage, status: SessionStatus) -> Listing[Any]:
        """A page of everybody's research sessions with a status: ``SessionView``."""
        ...

    async def create_session(self, user_id: int, session: NewSession, now: datetime) -> SessionView:
        """Store a question to be researched."""
        ...


def content_not_found(content_id: int) -> RequestError:
    """422: a write names a post that does not exist."""
    return RequestError(f"there is no content {content_id}", status=422, code="content_not_found")


def user_not_found() -> RequestError:
    """404: nobody has that address. It is not repeated."""
    return RequestError("there is no user with that address", status=404, code="user_not_found")
