"""How each read is kept: until a write changes what it shows, and never longer than its time. Pure.

What a card ends, and what was looked at since it was made, is made again before anybody asks (``warm``): a user's own
cards above all, which that user looks at next.

The times are upper bounds; what ends answers is the tags. A query parameter that means nothing to a read is no part of
its key, so nobody fills the cache with names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.asgi.route_policy import DependsOn
from tailrace.fastapi import RoutePolicy
from tailrace_services.research_hub.api.callers import Callers
from tailrace_services.research_hub.optimised import watches

__all__ = ["ENTRIES", "policies"]

ENTRIES = 1_000
"""Most answers that a process keeps."""
PAGE = ("limit", "cursor", "offset", "sort", "total")
OK_ONLY = frozenset({200})
WARM = frozenset({"cards", "attributions"})
"""What everybody looks at and every published card ends."""


DEFAULT = 300.0
"""Seconds for which answers are kept at most where nothing else is said."""


def policies(callers: Callers) -> Mapping[str, RoutePolicy]:
    """By the names of reads."""
    return {
        "cards": _shared("cards", 120.0, watches.CARDS),
        "own cards": RoutePolicy(
            120.0,
            identity=callers.identity,
            depends_on=lambda user, _path, _query: () if user is None else watches.own_card_tags(user),
            query=PAGE,
            statuses=OK_ONLY,
            name="own cards",
            warm=True,
        ),
        "tokens": RoutePolicy(
            60.0,
            identity=callers.identity,
            depends_on=lambda user, _path, _query: () if user is None else (watches.balance_tag(user),),
            query=(*PAGE, "type"),
            statuses=OK_ONLY,
            name="tokens",
        ),
        "research": RoutePolicy(
            60.0, shared=True, depends_on=watches.post_tags(), query=("q", "limit"), statuses=OK_ONLY, name="research"
        ),
        "attributions": _shared(
            "attributions",
            120.0,
            lambda _user, _path, query: watches.attribution_tags(query.get("card_id")),
            "card_id",
            "content_id",
        ),
        "contents": _shared("contents", DEFAULT, watches.CONTENTS, "platform", "state"),
        "authors": _shared("authors", DEFAULT, watches.AUTHORS, "q"),
        "patterns": _shared("patterns", DEFAULT, watches.PATTERNS, "type"),
        "users": _shared("users", 180.0, watches.USERS, "username"),
    }


def _shared(name: str, ttl: float, depends_on: Sequence[str] | DependsOn, *filters: str) -> RoutePolicy:
    """The same answer for everybody, told apart by its page and its filters alone. ``ttl`` in seconds."""
    return RoutePolicy(
        ttl, shared=True, depends_on=depends_on, query=(*PAGE, *filters), statuses=OK_ONLY, name=name, warm=name in WARM
    )
