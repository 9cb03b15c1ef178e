"""How each read is kept: until a write changes what it shows, and never longer than its time. Pure.

The times are upper bounds; what ends answers is the tags. A query parameter that means nothing to a read is no part of
its key, so nobody fills the cache with names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.fastapi import RoutePolicy
from tailrace_services.research_hub.api.callers import Callers
from tailrace_services.research_hub.optimised import watches

__all__ = ["ENTRIES", "policies"]

ENTRIES = 1_000
"""Most answers that a process keeps."""
PAGE = ("limit", "cursor", "offset", "sort", "total")
OK_ONLY = frozenset({200})


def policies(callers: Callers) -> Mapping[str, RoutePolicy]:
    """By the names of reads. Seconds."""
    return {
        "cards": RoutePolicy(
            120.0, shared=True, depends_on=watches.card_tags(), query=PAGE, statuses=OK_ONLY, name="cards"
        ),
        "own cards": RoutePolicy(
            120.0,
            identity=callers.identity,
            depends_on=lambda user, _path, _query: () if user is None else watches.own_card_tags(user),
            query=PAGE,
            statuses=OK_ONLY,
            name="own cards",
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
    }
