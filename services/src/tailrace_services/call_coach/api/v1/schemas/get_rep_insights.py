"""``get_rep_insights`` in the first version of the API. Pure."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from tailrace_services.call_coach.api.v1.schemas.analyze_call import DimensionName
from tailrace_services.call_coach.api.v1.schemas.body import Envelope, ResponseBody
from tailrace_services.call_coach.api.v1.schemas.rep_request import RepRequest, Text
from tailrace_services.call_coach.tools.rep_insights import GetRepInsights, RepInsights

__all__ = ["Days", "GetRepInsightsRequest", "GetRepInsightsResponse", "Rep"]


class GetRepInsightsRequest(RepRequest):
    """Of whom, when, and about what."""

    product: Annotated[Text | None, Field(description="of the calls; by default all")] = None

    def question(self) -> GetRepInsights:
        """What the tool is asked."""
        return GetRepInsights(self.rep_email, self.days(), self.product, self.rubric_version)


class Rep(ResponseBody):
    """A sales representative."""

    email: str
    name: str
    team: str


class Days(ResponseBody):
    """Whole days in UTC, both included."""

    first_day: date
    last_day: date


class Trend(ResponseBody):
    """Mann-Kendall's test at 5 %, and Sen's slope."""

    direction: Annotated[
        Literal["rising", "falling", "steady", "unknown"], Field(description="unknown with fewer than 5 points")
    ]
    slope: Annotated[float | None, Field(description="for each step")]


class Week(ResponseBody):
    """A week with sessions."""

    week: Annotated[date, Field(description="its Monday")]
    sessions: int
    average: float


class DimensionInsights(ResponseBody):
    """One dimension; null where there is nothing to average, or nobody to compare with."""

    dimension: DimensionName
    sessions: int
    average: float | None
    peers: Annotated[int, Field(description="other representatives with sessions in this dimension")]
    peer_average: float | None
    percentile: Annotated[float | None, Field(description="percentile rank among the peers, 0 to 100")]
    trend: Annotated[Trend, Field(description="of the weekly averages, in points a week")]
    weeks: tuple[Week, ...]


class SkillGap(ResponseBody):
    """A dimension in which the average lies below the upper quartile of the peers."""

    dimension: DimensionName
    average: float
    target: Annotated[float, Field(description="that quartile")]
    gap: float


class Remark(ResponseBody):
    """An improvement that coaching sessions named."""

    text: str
    sessions: Annotated[int, Field(description="of the newest 100")]


class Step(ResponseBody):
    """One thing to work on."""

    priority: int
    dimension: DimensionName
    target: float
    attend_to: tuple[Remark, ...]
    exercise: str


class Insights(ResponseBody):
    """How a representative is doing."""

    rep: Rep
    period: Days
    product: str | None
    rubric_version: Annotated[str | None, Field(description="whose sessions these are; null if there are none")]
    sessions: int
    average: Annotated[float | None, Field(description="mean of the dimensions' averages")]
    percentile: float | None
    peers: int
    dimensions: tuple[DimensionInsights, ...]
    skill_gaps: Annotated[tuple[SkillGap, ...], Field(description="the widest first")]
    plan: tuple[Step, ...]
    note: Annotated[str | None, Field(description="why there is nothing to say, if so")]


class GetRepInsightsResponse(Envelope[Insights]):
    """The answer."""

    @classmethod
    def of(cls, found: RepInsights) -> GetRepInsightsResponse:
        """What the tool answered, as it is sent."""
        return cls(data=Insights.model_validate(found))
