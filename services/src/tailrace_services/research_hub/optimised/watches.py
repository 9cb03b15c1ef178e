"""Which changes end cached answers: one watch for each table that answers are read from. Pure: declarations."""

from __future__ import annotations

import re

from tailrace.cache import tag
from tailrace.schema import Through, Watch, Where
from tailrace_services.research_hub.model import (
    ApiKey,
    Attribution,
    Author,
    Card,
    Content,
    Pattern,
    User,
)

__all__ = [
    "AUTHORS",
    "CARDS",
    "CONTENTS",
    "PATTERNS",
    "USERS",
    "WATCHES",
    "attribution_tags",
    "balance_tag",
    "key_tags",
    "own_card_tags",
    "post_tags",
]

_PUBLISHED = Where("published", Card.published_at.is_not(None))

WATCHES = (
    Watch(ApiKey, key="id"),
    Watch(User, key="id"),
    Watch(Author),
    Watch(Content),
    Watch(Card, key=("id", "user_id", _PUBLISHED)),
    Watch(
        Attribution,
        key=("card_id", *[Through("card_id", Card, "id", key) for key in ("user_id", _PUBLISHED)]),
    ),
    Watch(Pattern),
)

_USUAL = re.compile(r"[1-9][0-9]*", re.ASCII)
"""Tags have a number's usual form; of another one, as in ``card_id=007``, the whole table's are right as well."""

AUTHORS = (tag("authors"),)
CONTENTS = (tag("contents"), *AUTHORS)
PATTERNS = (tag("patterns"), tag("contents"))
USERS = (tag("users"),)
PUBLISHED = (tag("cards", "published", "true"), tag("attributions", "published", "true"))
"""Ends with what happens to published cards. Drafts, every fifth card, are in nobody's pages but their user's own."""
CARDS = (*PUBLISHED, *USERS, *CONTENTS)
"""What everybody's pages of these depend on: on whatever happens to any row that they could show."""


def key_tags(key_id: int) -> tuple[str, ...]:
    """What it depends on who may ask with a key."""
    return (tag("api_keys", "id", key_id),)


def own_card_tags(user_id: str) -> tuple[str, ...]:
    """What a user's own cards depend on."""
    whose = (tag("cards", "user_id", user_id), tag("attributions", "user_id", user_id), tag("users", "id", user_id))
    return (*whose, *CONTENTS)


def attribution_tags(card_id: str | None) -> tuple[str, ...]:
    """What attributions depend on: on one card, if only its are asked for and its number is written as usual."""
    if card_id is None or not _USUAL.fullmatch(card_id):
        which = PUBLISHED
    else:
        which = (tag("attributions", "card_id", card_id), tag("cards", "id", card_id))
    return (*which, *USERS, tag("contents"))


def balance_tag(user_id: str) -> str:
    """What a user's tokens depend on: whatever moves some changes the balances of both."""
    return tag("token_balances", "user_id", user_id)


def post_tags() -> tuple[str, ...]:
    """What answers about all posts depend on."""
    return (tag("contents"),)
