"""Cards with all that is shown of them: one statement a page, whatever its depth. Touches: the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Row, Select, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from tailrace.schema import Declaration, Index
from tailrace_services.research_hub.api.hub import content_not_found
from tailrace_services.research_hub.api.schemas import CardView, NewCard
from tailrace_services.research_hub.model import Attribution, Author, Card, Content, User
from tailrace_services.research_hub.optimised.json_lists import json_list
from tailrace_services.research_hub.optimised.listing import Reading

__all__ = ["OBJECTS", "OWN", "PUBLISHED", "create_card"]

cards, attributions = Card.__table__.c, Attribution.__table__.c

OBJECTS: tuple[Declaration, ...] = (
    Index(
        "cards_published",
        Card,
        [cards.published_at.desc(), cards.id.desc()],
        where=cards.published_at.is_not(None),
    ),
    Index("cards_user_created", Card, [cards.user_id, cards.created_at.desc(), cards.id.desc()]),
    Index(
        "attributions_card",
        Attribution,
        [attributions.card_id, attributions.id.desc()],
        include=["content_id", "weight"],
    ),
)
"""Everybody's published cards and a user's own, each in its order, and what a card goes back to."""

_SHARES = json_list(
    select(attributions.id).where(attributions.card_id == cards.id).correlate(Card),
    *(attributions.id, attributions.content_id, attributions.weight),
    order=(attributions.weight.desc(), attributions.id),
)
_SHOWN: Select[*tuple[Any, ...]] = (
    select(
        *(Card.id, Card.title, Card.body, Card.published_at, Card.created_at, Card.user_id, User.username),
        *(Card.content_id, Content.platform, Content.url, Content.title.label("content_title"), Content.author_id),
        *(Author.username.label("author_username"), Author.display_name),
        _SHARES.label("shares"),
    )
    .join(User, User.id == Card.user_id)
    .join(Content, Content.id == Card.content_id)
    .join(Author, Author.id == Content.author_id)
)

ONE = _SHOWN.where(Card.id == bindparam("card_id"))


def _card_view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "body": row.body,
        "published_at": row.published_at,
        "created_at": row.created_at,
        "user": {"id": row.user_id, "username": row.username},
        "content": {
            "id": row.content_id,
            "platform": row.platform,
            "url": row.url,
            "title": row.content_title,
            "author": {"id": row.author_id, "username": row.author_username, "display_name": row.display_name},
        },
        "attributions": from_json(row.shares),
    }


def _cards(which: ColumnElement[bool]) -> Reading:
    return Reading(_SHOWN.where(which), _card_view, select(Card.id).where(which))


PUBLISHED = _cards(Card.published_at.is_not(None))
"""Everybody's published cards."""
OWN = _cards(Card.user_id == bindparam("user_id"))
"""A user's own cards."""


async def create_card(session: AsyncSession, user_id: int, card: NewCard, now: datetime) -> CardView:
    """Store a card with what it goes back to. Cost: 4 round trips.

    Raises:
        RequestError: 422, there is no such post.
    """
    named = dict.fromkeys((card.content_id, *[source.content_id for source in card.sources]))
    # Locked as the foreign keys would, so that none can go before the card is there.
    there = select(Content.id).where(Content.id.in_(named)).with_for_update(read=True, key_share=True)
    found = set(await session.scalars(there))
    for content_id in named:
        if content_id not in found:
            raise content_not_found(content_id)
    values = {"user_id": user_id, "content_id": card.content_id, "title": card.title, "body": card.body}
    moments = {"published_at": now if card.publish else None, "created_at": now}
    card_id = await session.scalar(insert(Card).values(**values, **moments).returning(Card.id))
    await session.execute(
        insert(Attribution).values(
            [{"card_id": card_id, "content_id": source.content_id, "weight": source.weight} for source in card.sources]
        )
    )
    return CardView(**_card_view((await session.execute(ONE, {"card_id": card_id})).one()))
