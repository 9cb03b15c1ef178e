"""What was collected and found: posts, authors, patterns, attributions; one statement a page. Touches: nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, bindparam, select

from tailrace.schema import Declaration, Index
from tailrace_services.research_hub.api.author_search import FOUND
from tailrace_services.research_hub.api.schemas import (
    AttributionView,
    AuthorName,
    AuthorView,
    CardName,
    ContentName,
    ContentView,
    PatternView,
    UserName,
)
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


def _content_view(row: Row[Any]) -> ContentView:
    return ContentView.model_construct(
        id=row.id,
        platform=row.platform,
        url=row.url,
        title=row.title,
        body=row.body,
        author=AuthorName.model_construct(id=row.author_id, username=row.username, display_name=row.display_name),
        scraped_at=row.scraped_at,
        published_at=row.published_at,
        analyzed_at=row.analyzed_at,
        embedded=row.embedded,
        metrics=row.metrics,
    )


_STATES = {
    None: _POSTS,
    "analyzed": _POSTS.where(Content.analyzed_at.is_not(None)),
    "embedded": _POSTS.where(Content.embedding.is_not(None)),
}
CONTENTS: Mapping[tuple[str | None, bool], Reading] = {
    (state, one_platform): Reading(
        posts.where(Content.platform == bindparam("platform")) if one_platform else posts, _content_view
    )
    for state, posts in _STATES.items()
    for one_platform in (False, True)
}
"""By the state that is asked for, and whether a platform is."""


# --- authors ---------------------------------------------------------------------------------------------------------


def _author_view(row: Row[Any]) -> AuthorView:
    return AuthorView.model_construct(**row._mapping)


AUTHORS = Reading(FOUND, _author_view)


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


def _pattern_view(row: Row[Any]) -> PatternView:
    return PatternView.model_construct(
        id=row.id,
        type=row.type,
        description=row.description,
        confidence_score=float(row.confidence_score),
        discovered_at=row.discovered_at,
        contents=[
            ContentName.model_construct(id=number, platform=platform, url=url, title=title)
            for number, platform, url, title in json.loads(row.contents)
        ],
    )


PATTERNS = {
    False: Reading(_PATTERNS, _pattern_view),
    True: Reading(_PATTERNS.where(Pattern.type == bindparam("type")), _pattern_view),
}
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
    .where(Card.published_at.is_not(None))
)


def _attribution_view(row: Row[Any]) -> AttributionView:
    user = UserName.model_construct(id=row.user_id, username=row.username)
    return AttributionView.model_construct(
        id=row.id,
        weight=float(row.weight),
        card=CardName.model_construct(id=row.card_id, title=row.card_title, user=user),
        content=ContentName.model_construct(id=row.content_id, platform=row.platform, url=row.url, title=row.title),
    )


def _of(*conditions: Any) -> Reading:
    return Reading(_SOURCES.where(*conditions), _attribution_view)


_OF_CARD = Attribution.card_id == bindparam("card_id")
_TO_POST = Attribution.content_id == bindparam("content_id")
ATTRIBUTIONS = {
    (False, False): _of(),
    (True, False): _of(_OF_CARD),
    (False, True): _of(_TO_POST),
    (True, True): _of(_OF_CARD, _TO_POST),
}
"""By whether a card is asked for, and whether a post is."""
