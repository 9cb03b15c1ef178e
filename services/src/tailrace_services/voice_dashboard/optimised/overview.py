"""The overview: one statement. Touches: the database, 1 round trip.

Cost: at most 720 rows of each summary by the hour, two hours of the user's calls, twenty calls by index: the same at
ten million calls as at a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from tailrace.db import Database
from tailrace_services.voice_dashboard.api import figures
from tailrace_services.voice_dashboard.api.schemas import Activity, AgentCounts, OverviewContent
from tailrace_services.voice_dashboard.api.windows import rolling, this_month
from tailrace_services.voice_dashboard.optimised.spans import FIRST_HOUR, HOURS, LAST_HOUR, cut, statement

__all__ = ["STATEMENT", "read_overview"]

RECENT = 20
"""Calls under recent activity."""

# Every part below is put together from constants of this package; what varies is a bound parameter.
STATEMENT = statement(
    f"""
WITH first_hour AS (
    SELECT c.id, c.status, c.duration_minutes, c.credits_used FROM calls c WHERE {FIRST_HOUR}
), last_hour AS (
    SELECT c.id, c.status, c.duration_minutes, c.credits_used FROM calls c WHERE {LAST_HOUR}
), edges AS (
    SELECT * FROM first_hour UNION ALL SELECT * FROM last_hour
), call_parts AS (
    SELECT r.calls, r.completed, r.failed, r.no_answer, r.busy, r.duration_minutes, r.credits_used
    FROM calls_by_hour r WHERE r.user_id = :user_id AND {HOURS}
    UNION ALL
    SELECT count(*), count(*) FILTER (WHERE e.status = 'completed'), count(*) FILTER (WHERE e.status = 'failed'),
           count(*) FILTER (WHERE e.status = 'no_answer'), count(*) FILTER (WHERE e.status = 'busy'),
           coalesce(sum(e.duration_minutes), 0), coalesce(sum(e.credits_used), 0)
    FROM edges e
), call_totals AS (
    SELECT sum(calls)::bigint AS calls, sum(completed)::bigint AS completed, sum(failed)::bigint AS failed,
           sum(no_answer)::bigint AS no_answer, sum(busy)::bigint AS busy,
           sum(duration_minutes) AS minutes, sum(credits_used) AS credits
    FROM call_parts
), lead_parts AS (
    SELECT r.hot, r.warm, r.cold, r.score_sum FROM leads_by_hour r WHERE r.user_id = :user_id AND {HOURS}
    UNION ALL
    SELECT count(*) FILTER (WHERE l.total_score >= {figures.HOT_FROM}),
           count(*) FILTER (WHERE l.total_score >= {figures.COLD_BELOW} AND l.total_score < {figures.HOT_FROM}),
           count(*) FILTER (WHERE l.total_score < {figures.COLD_BELOW}), coalesce(sum(l.total_score), 0)
    FROM edges e JOIN lead_analytics l ON l.call_id = e.id
), lead_totals AS (
    SELECT sum(hot)::bigint AS hot, sum(warm)::bigint AS warm, sum(cold)::bigint AS cold,
           sum(score_sum)::bigint AS score_sum
    FROM lead_parts
), month AS (
    SELECT coalesce(sum(r.credits_used), 0) + (SELECT coalesce(sum(credits_used), 0) FROM last_hour) AS used
    FROM calls_by_hour r
    WHERE r.user_id = :user_id AND (r.date, r.hour) >= (:month_date, 0::smallint)
      AND (r.date, r.hour) < (:last_date, :last_hour)
), agent_counts AS (
    SELECT count(*) AS total, count(*) FILTER (WHERE status = 'active') AS active,
           count(*) FILTER (WHERE status = 'draft') AS draft
    FROM agents WHERE user_id = :user_id AND is_active
), recent AS (
    SELECT c.id, c.agent_id, c.status, c.duration_minutes, c.credits_used, c.created_at
    FROM calls c WHERE c.user_id = :user_id AND c.created_at <= :until
    ORDER BY c.created_at DESC, c.id DESC LIMIT {RECENT}
)
SELECT u.credits AS balance, month.used,
       ct.calls, ct.completed, ct.failed, ct.no_answer, ct.busy, ct.minutes, ct.credits,
       lt.hot, lt.warm, lt.cold, lt.score_sum, ac.total AS agents, ac.active, ac.draft,
       r.id AS call_id, r.agent_id, a.name AS agent_name, r.status, r.duration_minutes, r.credits_used, r.created_at,
       (SELECT l.total_score FROM lead_analytics l WHERE l.call_id = r.id ORDER BY l.id DESC LIMIT 1) AS lead_score
FROM users u CROSS JOIN call_totals ct CROSS JOIN lead_totals lt CROSS JOIN month CROSS JOIN agent_counts ac
LEFT JOIN (recent r JOIN agents a ON a.id = r.agent_id) ON true
WHERE u.id = :user_id
ORDER BY r.created_at DESC, r.id DESC
"""  # noqa: S608
)


async def read_overview(database: Database, user_id: int, now: datetime) -> OverviewContent:
    """The overview of ``user_id`` at ``now``, from one snapshot.

    Raises:
        DatabaseError: one of its kinds.
    """
    parameters = {**cut(rolling(now)), "user_id": user_id, "month_date": this_month(now).first_day}
    rows = await database.fetch(STATEMENT, parameters)
    row = rows[0]
    settled = row.completed + row.failed + row.no_answer + row.busy
    calls = figures.CallTotals(
        row.completed, row.failed, row.no_answer, row.busy, row.calls - settled, row.minutes, row.credits
    )
    leads = figures.LeadTotals(row.hot, row.warm, row.cold, row.score_sum)
    return OverviewContent(
        kpis=figures.kpis(calls, leads),
        credits=figures.credit_figures(row.balance, row.used),
        agents=AgentCounts(total=row.agents, active=row.active, draft=row.draft),
        conversations=figures.conversations(calls),
        leads=figures.lead_counts(leads),
        recent_activity=_activity(rows),
    )


def _activity(rows: Sequence[Row[Any]]) -> list[Activity]:
    return [
        Activity(
            call_id=row.call_id,
            agent_id=row.agent_id,
            agent_name=row.agent_name,
            status=row.status,
            duration_minutes=float(row.duration_minutes),
            credits_used=float(row.credits_used),
            lead_score=row.lead_score,
            created_at=figures.utc(row.created_at),
        )
        for row in rows
        if row.call_id is not None
    ]
