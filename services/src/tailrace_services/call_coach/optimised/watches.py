"""Which changes end cached answers: one watch for each table that answers are read from. Pure: declarations."""

from __future__ import annotations

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

__all__ = ["WATCHES", "caller_tags"]

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


def caller_tags(caller_id: int) -> tuple[str, ...]:
    """What it depends on who may ask."""
    return (tag("callers", "id", caller_id),)
