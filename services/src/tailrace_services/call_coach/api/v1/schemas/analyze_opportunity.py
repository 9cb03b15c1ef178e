"""``analyze_opportunity`` in the first version of the API. Pure."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from tailrace_services.call_coach.api.v1.schemas.analyze_call import Evidence
from tailrace_services.call_coach.api.v1.schemas.body import Envelope, Id, RequestBody, ResponseBody
from tailrace_services.call_coach.api.v1.schemas.get_rep_insights import Trend
from tailrace_services.call_coach.tools.opportunity import (
    MOST_CALLS,
    MOST_EMAILS,
    AnalyzeOpportunity,
    OpportunityAnalysis,
)

__all__ = ["AnalyzeOpportunityRequest", "AnalyzeOpportunityResponse"]

Sentiment = Annotated[float | None, Field(description="of the prospect's words, -1 to 1; null where none has one")]


class AnalyzeOpportunityRequest(RequestBody):
    """Which opportunity."""

    opportunity_id: Id

    def question(self) -> AnalyzeOpportunity:
        """What the tool is asked."""
        return AnalyzeOpportunity(self.opportunity_id)


class Opportunity(ResponseBody):
    """The opportunity itself."""

    id: int
    name: str
    account: str
    owner_email: str
    stage: str
    amount: Decimal
    close_date: date
    health_score: int | None


class Touchpoint(ResponseBody):
    """A call or an email."""

    kind: Literal["call", "email"]
    id: int
    at: datetime
    title: str
    by: Literal["ours", "prospect", "both"]
    sentiment: Sentiment
    engagement: Annotated[float | None, Field(description="the prospect's share of the words, for calls")]
    objections: Annotated[int | None, Field(description="for calls")]
    themes: tuple[str, ...]


class Theme(ResponseBody):
    """A theme of two touchpoints or more."""

    name: str
    touchpoints: int
    mentions: int
    first_at: datetime
    last_at: datetime


class RaisedObjection(ResponseBody):
    """An objection, in the call's own words; times in milliseconds from its beginning."""

    call_id: int
    at: datetime
    handled: bool
    evidence: Evidence


class Objections(ResponseBody):
    """Objections of one kind."""

    kind: str
    raised: int
    handled: Annotated[int, Field(description="acknowledged, explored, or answered with evidence")]
    calls: int
    latest: RaisedObjection


class Risk(ResponseBody):
    """What endangers an open opportunity."""

    code: str
    severity: Literal["high", "medium"]
    reason: str


class Recommendation(ResponseBody):
    """What to do about a risk."""

    risk: str
    action: str


class AnalyzedOpportunity(ResponseBody):
    """Where a sale stands."""

    opportunity: Opportunity
    today: Annotated[date, Field(description="in UTC; days are counted to it")]
    calls: int
    emails: int
    contacts: Annotated[int, Field(description="the prospect's people in what was read")]
    timeline: Annotated[
        tuple[Touchpoint, ...],
        Field(description=f"newest first: {MOST_CALLS} calls and {MOST_EMAILS} emails at most, and these were read"),
    ]
    themes: tuple[Theme, ...]
    objections: tuple[Objections, ...]
    sentiment: Sentiment
    sentiment_trend: Annotated[Trend, Field(description="from touchpoint to touchpoint")]
    engagement_trend: Annotated[Trend, Field(description="from call to call")]
    risks: tuple[Risk, ...]
    recommendations: tuple[Recommendation, ...]


class AnalyzeOpportunityResponse(Envelope[AnalyzedOpportunity]):
    """The answer."""

    @classmethod
    def of(cls, found: OpportunityAnalysis) -> AnalyzeOpportunityResponse:
        """What the tool answered, as it is sent."""
        return cls(data=AnalyzedOpportunity.model_validate(found))
