"""Posts, authors, patterns and attributions as they were: what is shown with each is asked for one by one.

Touches: the database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.plain_listing import fetch_listing
from tailrace_services.research_hub.api.author_search import FOUND
from tailrace_services.research_hub.api.schemas import (
    AttributionView,
    AuthorName,
    AuthorView,
    CardName,
    ContentName,
    ContentState,
    ContentView,
    PatternType,
    PatternView,
    UserName,
)
from tailrace_services.research_hub.model import Attribution, Author, Card, Content, Pattern, User

__all__ = ["attributions", "authors", "contents", "patterns"]


async def contents(
    session: AsyncSession, page: RequestedPage, platform: str | None, state: ContentState | None
) -> Listing[Any]:
    """Posts."""
    statement = select(Content)
    if platform is not None:
        statement = statement.where(Content.platform == platform)
    if state is not None:
        done = Content.analyzed_at if state == "analyzed" else Content.embedding
        statement = statement.where(done.is_not(None))

    async def describe(content: Content) -> ContentView:
        author = (await session.scalars(select(Author).where(Author.id == content.author_id))).one()
        embedding = select(Content.embedding).where(Content.id == content.id)
        return ContentView(
            id=content.id,
            platform=content.platform,
            url=content.url,
            title=content.title,
            body=content.body,
            author=AuthorName(id=author.id, username=author.username, display_name=author.display_name),
            scraped_at=content.scraped_at,
            published_at=content.published_at,
            analyzed_at=content.analyzed_at,
            embedded=(await session.scalars(embedding)).one() is not None,
            metrics=content.metrics,
        )

    return await fetch_listing(session, page, statement, describe)


async def authors(session: AsyncSession, page: RequestedPage, q: str) -> Listing[Any]:
    """Every author's name is looked at."""

    async def describe(row: Any) -> AuthorView:
        return AuthorView(**row._mapping)

    return await fetch_listing(session, page, FOUND.params(q=q), describe)


async def patterns(session: AsyncSession, page: RequestedPage, type_: PatternType | None) -> Listing[Any]:
    """Patterns, and each of their posts by a query of its own."""
    statement = select(Pattern)
    if type_ is not None:
        statement = statement.where(Pattern.type == type_)

    async def describe(pattern: Pattern) -> PatternView:
        posts = [await session.get(Content, number) for number in sorted(set(pattern.content_ids))]
        return PatternView(
            id=pattern.id,
            type=pattern.type,
            description=pattern.description,
            confidence_score=float(pattern.confidence_score),
            discovered_at=pattern.discovered_at,
            contents=[_named(post) for post in posts if post is not None],
        )

    return await fetch_listing(session, page, statement, describe)


async def attributions(
    session: AsyncSession, page: RequestedPage, card_id: int | None, content_id: int | None
) -> Listing[Any]:
    """Attributions, and for each the card, its user and the post."""
    statement = select(Attribution).join(Card, Card.id == Attribution.card_id).where(Card.published_at.is_not(None))
    if card_id is not None:
        statement = statement.where(Attribution.card_id == card_id)
    if content_id is not None:
        statement = statement.where(Attribution.content_id == content_id)

    async def describe(attribution: Attribution) -> AttributionView:
        card = (await session.scalars(select(Card).where(Card.id == attribution.card_id))).one()
        user = (await session.scalars(select(User).where(User.id == card.user_id))).one()
        post = (await session.scalars(select(Content).where(Content.id == attribution.content_id))).one()
        return AttributionView(
            id=attribution.id,
            weight=float(attribution.weight),
            card=CardName(id=card.id, title=card.title, user=UserName(id=user.id, username=user.username)),
            content=_named(post),
        )

    return await fetch_listing(session, page, statement, describe)


def _named(post: Content) -> ContentName:
    return ContentName(id=post.id, platform=post.platform, url=post.url, title=post.title)
