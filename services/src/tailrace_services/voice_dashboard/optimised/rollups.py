"""What the optimised service keeps in its database beyond the original's tables. Pure: declarations.

Three summary tables by the hour, kept exact by the transactions that write calls and leads; the indexes for what is
read row by row: the newest calls, and the two hours at the ends of a window that a summary by the hour cannot cut;
watches, which say what a write changes, so that exactly the answers that depend on it are calculated anew.
"""

from __future__ import annotations

from sqlalchemy import and_

from tailrace.core.freshness import tag
from tailrace.schema import Declaration, Index, Rollup, Through, Watch, count, sum_
from tailrace_services.voice_dashboard.api.figures import COLD_BELOW, HOT_FROM
from tailrace_services.voice_dashboard.model import Agent, Call, LeadAnalytics, User

__all__ = ["account_tags", "agent_tags", "analytics_tags", "configuration_tags", "objects", "overview_tags"]

calls = Call.__table__.c
leads = LeadAnalytics.__table__.c

CALLS_BY_HOUR = Rollup(
    "calls_by_hour",
    Call,
    {"user_id": calls.user_id},
    time=calls.created_at,
    grain="hour",
    measures={
        "calls": count(),
        "completed": count(where=calls.status == "completed"),
        "failed": count(where=calls.status == "failed"),
        "no_answer": count(where=calls.status == "no_answer"),
        "busy": count(where=calls.status == "busy"),
        "duration_minutes": sum_(calls.duration_minutes),
        "credits_used": sum_(calls.credits_used),
    },
    maintenance="deltas",
)
"""A user's calls; those in progress are the rest."""

AGENT_ANALYTICS = Rollup(
    "agent_analytics",
    Call,
    {"user_id": calls.user_id, "agent_id": calls.agent_id},
    time=calls.created_at,
    grain="hour",
    measures={
        "calls": count(),
        "successful_calls": count(where=calls.status == "completed"),
        "duration_minutes": sum_(calls.duration_minutes),
        "credits_used": sum_(calls.credits_used),
    },
    leading=2,
    maintenance="deltas",
)
"""An agent's calls. Both keys lead, so one agent's span is one range of the primary key."""

LEADS_BY_HOUR = Rollup(
    "leads_by_hour",
    LeadAnalytics,
    {"user_id": calls.user_id},
    time=calls.created_at,
    grain="hour",
    measures={
        "leads": count(),
        "hot": count(where=leads.total_score >= HOT_FROM),
        "warm": count(where=and_(leads.total_score >= COLD_BELOW, leads.total_score < HOT_FROM)),
        "cold": count(where=leads.total_score < COLD_BELOW),
        "score_sum": sum_(leads.total_score),
    },
    join=(Call, leads.call_id == calls.id),
)
"""A user's leads, at the hour of the call they came from."""

CALLS_OF_USER = Index("calls_user_created", Call, [calls.user_id, calls.created_at.desc(), calls.id.desc()])
"""Recent activity in its order, and the ends of every window."""

LEADS_OF_CALL = Index("lead_analytics_call", LeadAnalytics, [leads.call_id, leads.id], include=["total_score"])
"""A call's leads, oldest first, scores included. Deleting a call finds its leads by it as well."""

AGENTS_OF_USER = Index("agents_user", Agent, ["user_id"])
"""A user's agents."""

WATCHES = (
    Watch(User, key="id"),
    Watch(Agent, key="user_id"),
    Watch(Call, key="user_id"),
    Watch(LeadAnalytics, key=Through("call_id", Call, "id", "user_id")),
)


def objects() -> list[Declaration]:
    """Everything that is declared, for ``plan`` and ``apply``."""
    return [
        *WATCHES,
        CALLS_OF_USER,
        LEADS_OF_CALL,
        AGENTS_OF_USER,
        CALLS_BY_HOUR,
        AGENT_ANALYTICS,
        LEADS_BY_HOUR,
    ]


def account_tags(user_id: int) -> tuple[str, ...]:
    """What an account depends on."""
    return (tag("users", "id", user_id),)


def agent_tags(user_id: int) -> tuple[str, ...]:
    """What figures by agent depend on: not on leads, not on the balance."""
    return (tag("agents", "user_id", user_id), tag("calls", "user_id", user_id))


def configuration_tags(user_id: int) -> tuple[str, ...]:
    """What the configuration of an agent depends on, but for the provider: on whose agent it is."""
    return (tag("agents", "user_id", user_id),)


def overview_tags(user_id: int) -> tuple[str, ...]:
    """What the overview depends on: everything of the user's."""
    return (*account_tags(user_id), *agent_tags(user_id), tag("lead_analytics", "user_id", user_id))


def analytics_tags(user_id: int) -> tuple[str, ...]:
    """What analytics depend on: everything but the balance."""
    return (*agent_tags(user_id), tag("lead_analytics", "user_id", user_id))
