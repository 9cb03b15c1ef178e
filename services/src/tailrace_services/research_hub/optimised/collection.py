"""What was collected and found: posts, authors, patterns, attributions; one statement a page. Touches: nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Row, Select, bindparam, select
from sqlalchemy.sql import ColumnElement

from tailrace.schema import Declaration, Index
from tailrace_services.research_hub.api.author_search import FOUND
from tailrace_services.research_hub.model import Attribution, Author, Card, Content, Pattern, User
from tailrace_services.research_hub.optimised.json_lists import json_list
from tailrace_services.research_hub.optimised.listing import Reading

__all__ = ["ATTRIBUTIONS", "AUTHORS", "CONTENTS", "OBJECTS", "PATTERNS"]

contents, patterns, attributions = Content.__table__.c, Pattern.__table__.c, Attribution.__table__.c

NEWEST_POSTS = [contents.scraped_at.desc(), contents.id.desc()]

OBJECTS: tuple[Declaration, ...] = (
    Index("contents_scraped", Content, NEWEST_POSTS),
    Index("contents_platform_scraped", Content, [contents.platform, *NEWEST_POSTS]),
    Index("contents_analyzed", Content, NEWEST_POSTS, where=contents.analyzed_at.is_not(None)),
    Index("contents_embedded", Content, NEWEST_POSTS, where=contents.embedding.is_not(None)),
    Index("authors_names", Author, ["username", "display_name"], using="gin", operator_class="gin_trgm_ops"),
    Index("patterns_confidence", Pattern, [patterns.confidence_score.desc(), patterns.id.desc()]),
    Index("patterns_discovered", Pattern, [patterns.discovered_at.desc(), patterns.id.desc()]),
    Index("attributions_content", Attribution, [attributions.content_id, attributions.id.desc()]),
)
"""Each order of what is listed, alone and behind what it is filtered by; and the trigrams of names."""


# --- posts -----------------------------------------------------------------------------------------------------------

_POSTS: Select[*tuple[Any, ...]] = select(
    *(Content.id, Content.platform, Content.url, Content.title, Content.body, Content.author_id, Content.metrics),
    *(Author.username, Author.display_name, Content.scraped_at, Content.published_at, Content.analyzed_at),
    Content.embedding.is_not(None).label("embedded"),
).join(Author, Author.id == Content.author_id)


def _content_view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "platform": row.platform,
        "url": row.url,
        "title": row.title,
        "body": row.body,
        "author": {"id": row.author_id, "username": row.username, "display_name": row.display_name},
        "scraped_at": row.scraped_at,
        "published_at": row.published_at,
        "analyzed_at": row.analyzed_at,
        "embedded": row.embedded,
        "metrics": row.metrics,
    }


def _contents(state: Sequence[ColumnElement[bool]], one_platform: bool) -> Reading:
    which = (*state, Content.platform == bindparam("platform")) if one_platform else state
    return Reading(_POSTS.where(*which), _content_view, select(Content.id).where(*which))


_STATES: Mapping[str | None, Sequence[ColumnElement[bool]]] = {
    None: (),
    "analyzed": (Content.analyzed_at.is_not(None),),
    "embedded": (Content.embedding.is_not(None),),
}
CONTENTS: Mapping[tuple[str | None, bool], Reading] = {
    (name, one_platform): _contents(state, one_platform)
    for name, state in _STATES.items()
    for one_platform in (False, True)
}
"""By the state that is asked for, and whether a platform is."""


# --- authors ---------------------------------------------------------------------------------------------------------


def _author_view(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


AUTHORS = Reading(FOUND, _author_view, FOUND)


# --- patterns --------------------------------------------------------------------------------------------------------

_NAMED = json_list(
    select(contents.id).where(contents.id == patterns.content_ids.any_()).correlate(Pattern),
    *(contents.id, contents.platform, contents.url, contents.title),
    order=(contents.id,),
)
_PATTERNS: Select[*tuple[Any, ...]] = select(
    *(Pattern.id, Pattern.type, Pattern.description, Pattern.confidence_score, Pattern.discovered_at),
    _NAMED.label("contents"),
)


def _pattern_view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": row.type,
        "description": row.description,
        "confidence_score": float(row.confidence_score),
        "discovered_at": row.discovered_at,
        "contents": from_json(row.contents),
    }


def _patterns(*which: ColumnElement[bool]) -> Reading:
    return Reading(_PATTERNS.where(*which), _pattern_view, select(Pattern.id).where(*which))


PATTERNS = {False: _patterns(), True: _patterns(Pattern.type == bindparam("type"))}
"""By whether a type is asked for. There are few types, so their rows are met soon on the way through all."""


# --- attributions ----------------------------------------------------------------------------------------------------

_SOURCES: Select[*tuple[Any, ...]] = (
    select(
        *(Attribution.id, Attribution.weight, Attribution.card_id, Card.title.label("card_title"), Card.user_id),
        *(User.username, Attribution.content_id, Content.platform, Content.url, Content.title),
    )
    .join(Card, Card.id == Attribution.card_id)
    .join(User, User.id == Card.user_id)
    .join(Content, Content.id == Attribution.content_id)
)


def _attribution_view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "weight": float(row.weight),
        "card": {"id": row.card_id, "title": row.card_title, "user": {"id": row.user_id, "username": row.username}},
        "content": {"id": row.content_id, "platform": row.platform, "url": row.url, "title": row.title},
    }


def _of(*conditions: ColumnElement[bool]) -> Reading:
    which = (Card.published_at.is_not(None), *conditions)
    counted = select(Attribution.id).join(Card, Card.id == Attribution.card_id).where(*which)
    return Reading(_SOURCES.where(*which), _attribution_view, counted)


_OF_CARD = Attribution.card_id == bindparam("card_id")
_TO_POST = Attribution.content_id == bindparam("content_id")
ATTRIBUTIONS = {
    (False, False): _of(),
    (True, False): _of(_OF_CARD),
    (False, True): _of(_TO_POST),
    (True, True): _of(_OF_CARD, _TO_POST),
}
"""By whether a card is asked for, and whether a post is."""
