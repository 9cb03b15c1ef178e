"""How each read is kept: until a write changes what it shows, and never longer than its time. Pure.

A query parameter that means nothing to a read is no part of its key, so nobody fills the cache with names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.fastapi import RoutePolicy
from tailrace_services.trading_desk.api.callers import Callers
from tailrace_services.trading_desk.optimised.objects import item_tags, list_tags, signal_tags

__all__ = ["policies"]

TTL = 300.0
"""Seconds for which answers are kept at most; what ends them is the tags."""
OK_ONLY = frozenset({200})
PAGE = ("limit", "cursor", "sort", "total")
FILTERS = (
    *("category", "status", "priority", "tags_any", "tags_all", "metadata", "q", "created_since", "created_before"),
)
SIGNAL_FILTERS = ("asset", "channel", "signal_type", "since", "before")


def policies(callers: Callers) -> Mapping[str, RoutePolicy]:
    """By the names of reads; each answer is the whole desk's, and only the desk's."""

    def of_signals(_trader: str | None, _path: Mapping[str, Any], query: Mapping[str, str]) -> tuple[str, ...]:
        return signal_tags(query.get("asset"), query.get("channel"))

    return {
        "items": RoutePolicy(
            TTL,
            identity=callers.identity,
            shared=True,
            depends_on=lambda _trader, _path, query: list_tags(query.get("category")),
            query=(*PAGE, *FILTERS),
            statuses=OK_ONLY,
            name="items",
        ),
        "item": RoutePolicy(
            TTL,
            identity=callers.identity,
            shared=True,
            depends_on=lambda _trader, path, _query: item_tags(path["item_id"]),
            query=(),
            statuses=OK_ONLY,
            name="item",
        ),
        **{
            name: RoutePolicy(
                TTL,
                identity=callers.identity,
                shared=True,
                depends_on=of_signals,
                query=(*PAGE, *SIGNAL_FILTERS),
                statuses=OK_ONLY,
                name=name,
            )
            for name in ("signals", "days")
        },
    }
