"""What each agent did in a span: one statement for all of a user's agents. Touches: the database, 1 round trip."""

from __future__ import annotations

from tailrace_services.voice_dashboard.optimised.spans import FIRST_HOUR, HOURS, LAST_HOUR, statement

__all__ = ["BY_AGENT", "ONE_AGENT"]

COLUMNS = "a.id, a.external_id, a.name, a.type, a.status, a.description, a.created_at"

# For each agent one range of the summary's primary key; the two ends of the span are read once for all agents.
_BY_AGENT = f"""
WITH edges AS (
    SELECT e.agent_id, count(*) AS calls, count(*) FILTER (WHERE e.status = 'completed') AS successful,
           sum(e.duration_minutes) AS minutes, sum(e.credits_used) AS credits
    FROM (
        SELECT c.agent_id, c.status, c.duration_minutes, c.credits_used FROM calls c WHERE {FIRST_HOUR}
        UNION ALL
        SELECT c.agent_id, c.status, c.duration_minutes, c.credits_used FROM calls c WHERE {LAST_HOUR}
    ) e GROUP BY e.agent_id
)
SELECT {COLUMNS}, coalesce(h.calls, 0) + coalesce(e.calls, 0) AS calls,
       coalesce(h.successful, 0) + coalesce(e.successful, 0) AS successful,
       coalesce(h.minutes, 0) + coalesce(e.minutes, 0) AS minutes,
       coalesce(h.credits, 0) + coalesce(e.credits, 0) AS credits
FROM agents a
LEFT JOIN edges e ON e.agent_id = a.id
CROSS JOIN LATERAL (
    SELECT sum(r.calls)::bigint AS calls, sum(r.successful_calls)::bigint AS successful,
           sum(r.duration_minutes) AS minutes, sum(r.credits_used) AS credits
    FROM agent_analytics r WHERE r.user_id = :user_id AND r.agent_id = a.id AND {HOURS}
) h
WHERE a.user_id = :user_id AND a.is_active
"""  # noqa: S608

BY_AGENT = statement(f"{_BY_AGENT} ORDER BY a.id")
"""Every agent of the user that is not deleted, with its figures."""

ONE_AGENT = statement(f"{_BY_AGENT} AND a.id = :agent_id")
"""One of them."""
