"""Which changes end cached answers: one watch for each table that answers are read from. Pure: declarations."""

from __future__ import annotations

from tailrace.cache import tag
from tailrace.schema import Through, Watch
from tailrace_services.research_hub.model import (
    ApiKey,
    Attribution,
    Author,
    Card,
    Content,
    User,
)

__all__ = ["WATCHES", "balance_tag", "card_tags", "key_tags", "own_card_tags", "post_tags"]

WATCHES = (
    Watch(ApiKey, key="id"),
    Watch(User, key="id"),
    Watch(Author),
    Watch(Content),
    Watch(Card, key="user_id"),
    Watch(Attribution, key=Through("card_id", Card, "id", "user_id")),
)

SHOWN_WITH_CARDS = (tag("authors"), tag("contents"))


def key_tags(key_id: int) -> tuple[str, ...]:
    """What it depends on who may ask with a key."""
    return (tag("api_keys", "id", key_id),)


def card_tags() -> tuple[str, ...]:
    """What everybody's cards depend on."""
    return (tag("cards"), tag("attributions"), tag("users"), *SHOWN_WITH_CARDS)


def own_card_tags(user_id: str) -> tuple[str, ...]:
    """What a user's own cards depend on."""
    whose = (tag("cards", "user_id", user_id), tag("attributions", "user_id", user_id), tag("users", "id", user_id))
    return (*whose, *SHOWN_WITH_CARDS)


def balance_tag(user_id: str) -> str:
    """What a user's tokens depend on: whatever moves some changes the balances of both."""
    return tag("token_balances", "user_id", user_id)


def post_tags() -> tuple[str, ...]:
    """What answers about all posts depend on."""
    return (tag("contents"),)
