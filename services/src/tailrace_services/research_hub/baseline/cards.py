"""Cards as they were: for each the user, the post, its author and the attributions, one query after the other.

Touches: the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.plain_listing import fetch_listing
from tailrace_services.research_hub.api.hub import content_not_found
from tailrace_services.research_hub.api.schemas import (
    AttributionShare,
    AuthorName,
    CardContent,
    CardView,
    NewCard,
    UserName,
)
from tailrace_services.research_hub.model import Attribution, Author, Card, Content, User

__all__ = ["cards", "create_card", "own_cards"]


async def cards(session: AsyncSession, page: RequestedPage) -> Listing[Any]:
    """Everybody's published cards."""
    published = select(Card).where(Card.published_at.is_not(None))
    return await fetch_listing(session, page, published, _described_by(session))


async def own_cards(session: AsyncSession, page: RequestedPage, user_id: int) -> Listing[Any]:
    """A user's own cards."""
    return await fetch_listing(session, page, select(Card).where(Card.user_id == user_id), _described_by(session))


async def create_card(session: AsyncSession, user_id: int, card: NewCard, now: datetime) -> CardView:
    """Each post is looked for, and each attribution written, by a statement of its own."""
    for content_id in (card.content_id, *[source.content_id for source in card.sources]):
        if await session.get(Content, content_id) is None:
            raise content_not_found(content_id)
    made = Card(
        user_id=user_id,
        content_id=card.content_id,
        title=card.title,
        body=card.body,
        published_at=now if card.publish else None,
        created_at=now,
    )
    session.add(made)
    await session.flush()
    for source in card.sources:
        session.add(Attribution(card_id=made.id, content_id=source.content_id, weight=source.weight))
        await session.flush()
    return await describe(session, made)


def _described_by(session: AsyncSession) -> Callable[[Card], Awaitable[CardView]]:
    return lambda card: describe(session, card)


async def describe(session: AsyncSession, card: Card) -> CardView:
    """A card with all that is shown of it. Cost: 4 round trips."""
    user = (await session.scalars(select(User).where(User.id == card.user_id))).one()
    content = (await session.scalars(select(Content).where(Content.id == card.content_id))).one()
    author = (await session.scalars(select(Author).where(Author.id == content.author_id))).one()
    order = (Attribution.weight.desc(), Attribution.id)
    attributions = await session.scalars(select(Attribution).where(Attribution.card_id == card.id).order_by(*order))
    return CardView(
        id=card.id,
        title=card.title,
        body=card.body,
        published_at=card.published_at,
        created_at=card.created_at,
        user=UserName(id=user.id, username=user.username),
        content=CardContent(
            id=content.id,
            platform=content.platform,
            url=content.url,
            title=content.title,
            author=AuthorName(id=author.id, username=author.username, display_name=author.display_name),
        ),
        attributions=[
            AttributionShare(id=each.id, content_id=each.content_id, weight=float(each.weight)) for each in attributions
        ],
    )
