"""From exact counts and sums to the figures that are shown. Pure, and the only place where anything is rounded.

Both implementations hand in integers and decimals, so they agree to the last digit. Halves round away from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal

from tailrace_services.voice_dashboard.api.schemas import (
    AgentOutcome,
    CallsOnDay,
    Conversations,
    Credits,
    HourOutcome,
    Kpis,
    LeadCounts,
    LeadQuality,
    LeadsOnDay,
    Performance,
)
from tailrace_services.voice_dashboard.api.windows import ROLLING_HOURS

__all__ = [
    "COLD_BELOW",
    "HOT_FROM",
    "AgentTotals",
    "CallTotals",
    "LeadTotals",
    "agent_outcome",
    "calls_on_day",
    "conversations",
    "credit_figures",
    "hour_outcome",
    "kpis",
    "lead_counts",
    "lead_quality",
    "leads_on_day",
    "money",
    "performance",
    "utc",
]

HOT_FROM = 70
"""A lead with this score or more is hot, and counts as converted."""

COLD_BELOW = 40
"""A lead with a lower score is cold; between the two it is warm."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class CallTotals:
    """Calls of a user in a span. Minutes and credits exact."""

    completed: int = 0
    failed: int = 0
    no_answer: int = 0
    busy: int = 0
    in_progress: int = 0
    minutes: Decimal = ZERO
    credits: Decimal = ZERO

    @property
    def calls(self) -> int:
        """All of them."""
        return self.completed + self.failed + self.no_answer + self.busy + self.in_progress


@dataclass(frozen=True, slots=True)
class AgentTotals:
    """Calls in a span where only success matters: of an agent, an hour, a day."""

    calls: int = 0
    successful: int = 0
    minutes: Decimal = ZERO
    credits: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LeadTotals:
    """Leads from the calls of a span."""

    hot: int = 0
    warm: int = 0
    cold: int = 0
    score_sum: int = 0

    @property
    def leads(self) -> int:
        """All of them."""
        return self.hot + self.warm + self.cold


def _rounded(value: Decimal, places: int) -> float:
    return float(value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP))


def _ratio(part: int | Decimal, whole: int, places: int = 2) -> float | None:
    return _rounded(Decimal(part) / whole, places) if whole else None


def _percent(part: int, whole: int) -> float | None:
    return _ratio(100 * part, whole)


def money(value: Decimal) -> float:
    """Credits, two decimals."""
    return _rounded(value, 2)


def utc(moment: datetime) -> datetime:
    """The moment in UTC, so that it is written with ``Z`` whatever the connection's time zone."""
    return moment.astimezone(UTC)


def kpis(calls: CallTotals, leads: LeadTotals) -> Kpis:
    """The key figures of the last 30 days."""
    return Kpis(
        total_leads=leads.leads,
        total_interactions=calls.calls,
        leads_converted=leads.hot,
        conversion_rate=_percent(leads.hot, leads.leads),
        conversations_per_hour=_rounded(Decimal(calls.completed) / ROLLING_HOURS, 4),
        average_lead_score=_ratio(leads.score_sum, leads.leads),
        call_success_rate=_percent(calls.completed, calls.calls),
    )


def credit_figures(balance: Decimal, used_this_month: Decimal) -> Credits:
    """The user's credits."""
    return Credits(current=money(balance), used_this_month=money(used_this_month), remaining=money(max(balance, ZERO)))


def conversations(calls: CallTotals) -> Conversations:
    """Calls by outcome."""
    return Conversations(
        total=calls.calls,
        completed=calls.completed,
        failed=calls.failed,
        no_answer=calls.no_answer,
        busy=calls.busy,
        in_progress=calls.in_progress,
        total_minutes=_rounded(calls.minutes, 3),
        average_minutes=_ratio(calls.minutes, calls.calls),
    )


def lead_counts(leads: LeadTotals) -> LeadCounts:
    """Leads by quality, with their total."""
    return LeadCounts(total=leads.leads, hot=leads.hot, warm=leads.warm, cold=leads.cold)


def lead_quality(leads: LeadTotals) -> LeadQuality:
    """Leads by quality."""
    return LeadQuality(hot=leads.hot, warm=leads.warm, cold=leads.cold)


def calls_on_day(day: date, totals: AgentTotals) -> CallsOnDay:
    """One point of the calls' chart."""
    return CallsOnDay(
        date=day,
        calls=totals.calls,
        successful=totals.successful,
        minutes=_rounded(totals.minutes, 3),
        credits_used=money(totals.credits),
    )


def leads_on_day(day: date, totals: LeadTotals) -> LeadsOnDay:
    """One point of the leads' chart."""
    return LeadsOnDay(
        date=day, leads=totals.leads, converted=totals.hot, average_score=_ratio(totals.score_sum, totals.leads)
    )


def hour_outcome(hour: int, totals: AgentTotals) -> HourOutcome:
    """One of the 24 hours."""
    return HourOutcome(
        hour=hour,
        calls=totals.calls,
        successful=totals.successful,
        success_rate=_percent(totals.successful, totals.calls),
    )


def agent_outcome(agent_id: int, name: str, totals: AgentTotals) -> AgentOutcome:
    """One agent of the comparison."""
    return AgentOutcome(
        agent_id=agent_id,
        name=name,
        calls=totals.calls,
        successful=totals.successful,
        success_rate=_percent(totals.successful, totals.calls),
        average_minutes=_ratio(totals.minutes, totals.calls),
        credits_used=money(totals.credits),
    )


def performance(totals: AgentTotals) -> Performance:
    """An agent's figures."""
    return Performance(
        conversations=totals.calls,
        success_rate=_percent(totals.successful, totals.calls),
        average_minutes=_ratio(totals.minutes, totals.calls),
        credits_used=money(totals.credits),
    )
