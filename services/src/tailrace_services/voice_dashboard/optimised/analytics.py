"""Analytics: five data sets at once, each with its own time limit. Touches: the database, 5 statements side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from typing import Any

from tailrace.db import Database
from tailrace.errors import DatabaseTimeoutError, PoolTimeoutError
from tailrace_services.voice_dashboard.api import figures
from tailrace_services.voice_dashboard.api.schemas import (
    AgentOutcome,
    Analytics,
    CallsOnDay,
    HourOutcome,
    LeadQuality,
    LeadsOnDay,
)
from tailrace_services.voice_dashboard.api.windows import Span, calendar_days
from tailrace_services.voice_dashboard.optimised.agent_figures import BY_AGENT
from tailrace_services.voice_dashboard.optimised.spans import HOURS, LAST_HOUR, cut, statement

__all__ = ["DATASETS", "DATASET_TIMEOUT", "read_analytics"]

logger = logging.getLogger(__name__)

DATASET_TIMEOUT = 1.5
"""Seconds that one data set may take; the answer as a whole is asked for within 2."""

Parameters = Mapping[str, Any]

# Days begin with a full hour, so only the last hour needs the calls themselves.
CALLS_PER_DAY = statement(
    f"""
SELECT part.date, sum(part.calls)::bigint AS calls, sum(part.completed)::bigint AS completed,
       sum(part.minutes) AS minutes, sum(part.credits) AS credits
FROM (
    SELECT r.date, r.calls, r.completed, r.duration_minutes AS minutes, r.credits_used AS credits
    FROM calls_by_hour r WHERE r.user_id = :user_id AND {HOURS}
    UNION ALL
    SELECT :last_date, count(*), count(*) FILTER (WHERE c.status = 'completed'),
           coalesce(sum(c.duration_minutes), 0), coalesce(sum(c.credits_used), 0)
    FROM calls c WHERE {LAST_HOUR}
) part GROUP BY part.date
"""  # noqa: S608
)

SUCCESS_BY_HOUR = statement(
    f"""
SELECT part.hour, sum(part.calls)::bigint AS calls, sum(part.completed)::bigint AS completed
FROM (
    SELECT r.hour, r.calls, r.completed FROM calls_by_hour r WHERE r.user_id = :user_id AND {HOURS}
    UNION ALL
    SELECT :last_hour, count(*), count(*) FILTER (WHERE c.status = 'completed') FROM calls c WHERE {LAST_HOUR}
) part GROUP BY part.hour
"""  # noqa: S608
)

LEADS_LAST_HOUR = f"""
    SELECT :last_date, count(*) FILTER (WHERE l.total_score >= {figures.HOT_FROM}),
           count(*) FILTER (WHERE l.total_score >= {figures.COLD_BELOW} AND l.total_score < {figures.HOT_FROM}),
           count(*) FILTER (WHERE l.total_score < {figures.COLD_BELOW}), coalesce(sum(l.total_score), 0)
    FROM calls c JOIN lead_analytics l ON l.call_id = c.id WHERE {LAST_HOUR}
"""  # noqa: S608

LEADS_PER_DAY = statement(
    f"""
SELECT part.date, sum(part.hot)::bigint AS hot, sum(part.warm)::bigint AS warm, sum(part.cold)::bigint AS cold,
       sum(part.score_sum)::bigint AS score_sum
FROM (
    SELECT r.date, r.hot, r.warm, r.cold, r.score_sum FROM leads_by_hour r WHERE r.user_id = :user_id AND {HOURS}
    UNION ALL {LEADS_LAST_HOUR}
) part GROUP BY part.date
"""  # noqa: S608
)

LEAD_QUALITY = statement(
    f"""
SELECT sum(part.hot)::bigint AS hot, sum(part.warm)::bigint AS warm, sum(part.cold)::bigint AS cold
FROM (
    SELECT r.date, r.hot, r.warm, r.cold, r.score_sum FROM leads_by_hour r WHERE r.user_id = :user_id AND {HOURS}
    UNION ALL {LEADS_LAST_HOUR}
) part
"""  # noqa: S608
)


async def _calls_per_day(database: Database, parameters: Parameters, span: Span) -> list[CallsOnDay]:
    found: dict[date, figures.AgentTotals] = {
        row.date: figures.AgentTotals(row.calls, row.completed, row.minutes, row.credits)
        for row in await database.fetch(CALLS_PER_DAY, parameters)
    }
    return [figures.calls_on_day(day, found.get(day, figures.AgentTotals())) for day in span.days()]


async def _leads_per_day(database: Database, parameters: Parameters, span: Span) -> list[LeadsOnDay]:
    found: dict[date, figures.LeadTotals] = {
        row.date: figures.LeadTotals(row.hot, row.warm, row.cold, row.score_sum)
        for row in await database.fetch(LEADS_PER_DAY, parameters)
    }
    return [figures.leads_on_day(day, found.get(day, figures.LeadTotals())) for day in span.days()]


async def _lead_quality(database: Database, parameters: Parameters, _span: Span) -> LeadQuality:
    (row,) = await database.fetch(LEAD_QUALITY, parameters)
    return figures.lead_quality(figures.LeadTotals(row.hot, row.warm, row.cold))


async def _success_by_hour(database: Database, parameters: Parameters, _span: Span) -> list[HourOutcome]:
    found: dict[int, figures.AgentTotals] = {
        row.hour: figures.AgentTotals(row.calls, row.completed)
        for row in await database.fetch(SUCCESS_BY_HOUR, parameters)
    }
    return [figures.hour_outcome(hour, found.get(hour, figures.AgentTotals())) for hour in range(24)]


async def _agent_comparison(database: Database, parameters: Parameters, _span: Span) -> list[AgentOutcome]:
    outcomes = [
        figures.agent_outcome(
            row.id, row.name, figures.AgentTotals(row.calls, row.successful, row.minutes, row.credits)
        )
        for row in await database.fetch(BY_AGENT, parameters)
    ]
    return sorted(outcomes, key=lambda outcome: (-outcome.calls, outcome.agent_id))


Reader = Callable[[Database, Parameters, Span], Awaitable[Any]]

DATASETS: Mapping[str, Reader] = {
    "callsPerDay": _calls_per_day,
    "leadsPerDay": _leads_per_day,
    "leadQuality": _lead_quality,
    "successByHour": _success_by_hour,
    "agentComparison": _agent_comparison,
}
"""Each data set by its name in the answer."""


async def read_analytics(
    database: Database, user_id: int, days: int, now: datetime, *, timeout: float | None = None
) -> Analytics:
    """Analytics of ``user_id`` at ``now``. A data set that is not ready within ``timeout`` seconds is marked partial.

    Raises:
        DatabaseTimeoutError: no data set was ready in time.
        DatabaseError: the database failed otherwise.
    """
    limit = DATASET_TIMEOUT if timeout is None else timeout
    span = calendar_days(now, days)
    parameters = {**cut(span), "user_id": user_id}
    parts = await asyncio.gather(*[_within(limit, name, database, parameters, span) for name in DATASETS])
    datasets = dict(zip(DATASETS, parts, strict=True))
    late = [name for name, part in datasets.items() if part["partial"]]
    if len(late) == len(DATASETS):
        raise DatabaseTimeoutError("no data set was ready in time")
    return Analytics.model_validate(
        {
            "days": days,
            "firstDay": span.first_day,
            "lastDay": span.last_day,
            "calculatedAt": now,
            "partial": bool(late),
            "partialDatasets": late,
            **datasets,
        }
    )


async def _within(timeout: float, name: str, database: Database, parameters: Parameters, span: Span) -> dict[str, Any]:
    try:
        async with asyncio.timeout(timeout):
            return {"partial": False, "data": await DATASETS[name](database, parameters, span)}
    except (TimeoutError, DatabaseTimeoutError, PoolTimeoutError) as error:
        logger.warning("analytics: %s was not ready in time: %s", name, error)
        return {"partial": True, "data": None}
