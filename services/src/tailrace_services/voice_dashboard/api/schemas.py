"""The bodies of every answer: one set for both implementations. Pure.

JSON is camelCase. Rates are percent with two decimals; what has no denominator is null, never zero. Moments are UTC in
ISO 8601 with ``Z``. Every figure is defined in ``docs/reference/voice-dashboard.md`` and rounded in
:mod:`~tailrace_services.voice_dashboard.api.figures` alone.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from tailrace_services.voice_dashboard.api.body import Body

__all__ = [
    "Activity",
    "AgentConfiguration",
    "AgentConfigurationAnswer",
    "AgentCounts",
    "AgentList",
    "AgentOutcome",
    "AgentRow",
    "AgentStatus",
    "AgentView",
    "Analytics",
    "CacheInfo",
    "CallRow",
    "CallStatus",
    "CallsOnDay",
    "Conversations",
    "CreditBalance",
    "Credits",
    "Dataset",
    "DegradedReason",
    "HourOutcome",
    "Kpis",
    "LeadCounts",
    "LeadQuality",
    "LeadRow",
    "LeadsOnDay",
    "Overview",
    "OverviewContent",
    "Performance",
    "Token",
]

CallStatus = Literal["completed", "failed", "no_answer", "busy", "in_progress"]
AgentStatus = Literal["active", "draft", "paused"]
DegradedReason = Literal[
    "EXTERNAL_API_TIMEOUT", "EXTERNAL_API_RETRY_FAILED", "EXTERNAL_API_REJECTED", "EXTERNAL_API_SUSPENDED"
]
"""Why a configuration is missing or old: no answer in time; every attempt failed; refused; not asked for the moment."""

Percent = Annotated[float | None, Field(description="percent, two decimals; null when there is nothing to divide by")]


# --- overview ------------------------------------------------------------------------------------


class Kpis(Body):
    """Figures over the last 30 days."""

    total_leads: int
    total_interactions: int
    leads_converted: int
    conversion_rate: Percent
    conversations_per_hour: Annotated[float, Field(description="completed calls per hour, four decimals")]
    average_lead_score: Annotated[float | None, Field(description="0 to 100, two decimals")]
    call_success_rate: Percent


class Credits(Body):
    """The user's credits."""

    current: Annotated[float, Field(description="balance; below zero when a call cost more than was left")]
    used_this_month: Annotated[float, Field(description="used by calls of this UTC month")]
    remaining: Annotated[float, Field(description="what can still be used: the balance, at least zero")]


class AgentCounts(Body):
    """How many agents the user has; deleted ones do not count."""

    total: int
    active: int
    draft: int


class Conversations(Body):
    """Calls of the last 30 days by outcome."""

    total: int
    completed: int
    failed: int
    no_answer: int
    busy: int
    in_progress: int
    total_minutes: Annotated[float, Field(description="minutes, three decimals")]
    average_minutes: Annotated[float | None, Field(description="minutes a call, two decimals")]


class LeadCounts(Body):
    """Leads of the last 30 days by quality."""

    total: int
    hot: Annotated[int, Field(description="score 70 and more: converted")]
    warm: Annotated[int, Field(description="score 40 to 69")]
    cold: Annotated[int, Field(description="score below 40")]


class Activity(Body):
    """One of the newest calls."""

    call_id: int
    agent_id: int
    agent_name: str
    status: CallStatus
    duration_minutes: float
    credits_used: float
    lead_score: Annotated[int | None, Field(description="score of the call's newest lead")]
    created_at: datetime


class CacheInfo(Body):
    """Where this answer comes from. The only part in which two correct answers may differ."""

    status: Literal["hit", "stale", "miss", "collapsed", "bypass"]
    age: Annotated[float, Field(description="seconds since it was calculated")]
    expires: Annotated[float, Field(description="seconds until it is calculated anew even if nothing changes")]
    calculated_at: datetime
    stale: bool


class OverviewContent(Body):
    """Everything of the overview that depends on the data."""

    kpis: Kpis
    credits: Credits
    agents: AgentCounts
    conversations: Conversations
    leads: LeadCounts
    recent_activity: list[Activity]


class Overview(OverviewContent):
    """``GET /api/dashboard/overview``."""

    cache_info: CacheInfo


# --- analytics -----------------------------------------------------------------------------------

T = TypeVar("T")


class Dataset(Body, Generic[T]):
    """One of the charts' data sets; ``partial`` with no data when it was not ready in time."""

    partial: bool = False
    data: T | None


class CallsOnDay(Body):
    """Calls of one UTC day."""

    date: date
    calls: int
    successful: int
    minutes: Annotated[float, Field(description="minutes, three decimals")]
    credits_used: float


class LeadsOnDay(Body):
    """Leads from calls of one UTC day."""

    date: date
    leads: int
    converted: int
    average_score: Annotated[float | None, Field(description="0 to 100, two decimals")]


class LeadQuality(Body):
    """Leads by quality."""

    hot: int
    warm: int
    cold: int


class HourOutcome(Body):
    """Calls by UTC hour of the day."""

    hour: Annotated[int, Field(ge=0, le=23)]
    calls: int
    successful: int
    success_rate: Percent


class AgentOutcome(Body):
    """One agent beside the others."""

    agent_id: int
    name: str
    calls: int
    successful: int
    success_rate: Percent
    average_minutes: Annotated[float | None, Field(description="minutes a call, two decimals")]
    credits_used: float


class Analytics(Body):
    """``GET /api/dashboard/analytics``: UTC days ``first_day`` to ``last_day`` (today), both included."""

    days: int
    first_day: date
    last_day: date
    calculated_at: datetime
    partial: bool
    partial_datasets: list[str]
    calls_per_day: Dataset[list[CallsOnDay]]
    leads_per_day: Dataset[list[LeadsOnDay]]
    lead_quality: Dataset[LeadQuality]
    success_by_hour: Dataset[list[HourOutcome]]
    agent_comparison: Dataset[list[AgentOutcome]]


# --- agents --------------------------------------------------------------------------------------


class AgentConfiguration(Body):
    """What the voice provider holds of an agent; null where it says nothing."""

    name: str | None
    language: str | None
    first_message: str | None
    prompt: str | None
    llm: str | None
    temperature: float | None
    max_tokens: int | None
    voice_id: str | None
    tts_model: str | None
    stability: float | None
    similarity_boost: float | None
    speed: float | None
    max_duration_seconds: int | None
    tools: list[str]
    tags: list[str]


class Performance(Body):
    """An agent's figures over the last 30 days."""

    conversations: int
    success_rate: Percent
    average_minutes: Annotated[float | None, Field(description="minutes a call, two decimals")]
    credits_used: float


class AgentRow(Body):
    """An agent as stored."""

    id: int
    external_id: str
    name: str
    type: str
    status: AgentStatus
    description: str
    created_at: datetime


class AgentView(AgentRow):
    """An agent with its figures and its configuration.

    ``degraded``: the provider did not give the configuration; it is the last known one, ``configuration_age`` seconds
    old, or null. A configuration the provider gave, or an agent it does not know, is not degraded.
    """

    performance: Performance
    configuration: AgentConfiguration | None
    configuration_age: Annotated[float | None, Field(description="seconds; only when degraded")] = None
    degraded: bool = False
    degraded_reason: DegradedReason | None = None


class AgentList(Body):
    """``GET /api/agents``, by id."""

    agents: list[AgentView]
    degraded: Annotated[bool, Field(description="whether any agent is")]
    calculated_at: datetime


class AgentConfigurationAnswer(Body):
    """``GET /api/agents/{id}/configuration``."""

    agent_id: int
    external_id: str
    configuration: AgentConfiguration | None
    configuration_age: Annotated[float | None, Field(description="seconds; only when degraded")] = None
    degraded: bool = False
    degraded_reason: DegradedReason | None = None


# --- writes, billing, tokens -------------------------------------------------------------


class CallRow(Body):
    """A call as stored."""

    id: int
    agent_id: int
    status: CallStatus
    duration_minutes: float
    credits_used: float
    created_at: datetime


class LeadRow(Body):
    """A lead as stored."""

    id: int
    call_id: int
    total_score: int
    created_at: datetime


class CreditBalance(Body):
    """``GET /api/billing/credits``."""

    credits: Annotated[float, Field(description="balance; below zero when a call cost more than was left")]


class Token(Body):
    """``POST /api/auth/token``."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the scheme's name
    expires_in: Annotated[int, Field(description="seconds")]
