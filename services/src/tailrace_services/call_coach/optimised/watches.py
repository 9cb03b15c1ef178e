"""Which changes end cached answers: one watch for each table that answers are read from. Pure: declarations."""

from __future__ import annotations

from functools import lru_cache

from tailrace.cache import tag
from tailrace.schema import Watch
from tailrace_services.call_coach.model import (
    Call,
    CallAnalysis,
    Caller,
    CallOpportunity,
    CoachingSession,
    Email,
    Opportunity,
    Rep,
    Speaker,
    Turn,
)

__all__ = ["WATCHES", "caller_tags", "tags_of_calls"]

WATCHES = (
    Watch(Call, key="id"),
    Watch(Speaker, key="call_id"),
    Watch(Turn, key="call_id"),
    Watch(CallAnalysis, key="call_id"),
    Watch(Rep, key="id"),
    Watch(Opportunity, key="id"),
    Watch(CallOpportunity, key="opportunity_id"),
    Watch(Email, key="opportunity_id"),
    Watch(CoachingSession, key="call_id"),
    Watch(Caller, key="id"),
)

TAGGED_CALLS = 60
"""Of more calls than these, an answer depends on whatever happens to any call: there are few such answers."""


def caller_tags(caller_id: int) -> tuple[str, ...]:
    """What it depends on who may ask."""
    return (tag("callers", "id", caller_id),)


@lru_cache(maxsize=1_024)
def tags_of_calls(calls: tuple[int, ...]) -> tuple[str, ...]:
    """What an answer depends on that has been read from these calls, their people and their turns."""
    tables = (("calls", "id"), ("speakers", "call_id"), ("transcripts", "call_id"))
    if len(calls) > TAGGED_CALLS:
        return tuple(tag(table) for table, _ in tables)
    return tuple(tag(table, key, call_id) for table, key in tables for call_id in calls)
