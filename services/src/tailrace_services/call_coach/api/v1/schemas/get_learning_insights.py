"""``get_learning_insights`` in the first version of the API. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tailrace_services.call_coach.api.v1.schemas.analyze_call import DimensionName, Evidence
from tailrace_services.call_coach.api.v1.schemas.body import Envelope, ResponseBody
from tailrace_services.call_coach.api.v1.schemas.get_rep_insights import Days, Rep
from tailrace_services.call_coach.api.v1.schemas.rep_request import RepRequest
from tailrace_services.call_coach.tools.learning_insights import GetLearningInsights, LearningInsights

__all__ = ["GetLearningInsightsRequest", "GetLearningInsightsResponse"]


class GetLearningInsightsRequest(RepRequest):
    """Of whom, when, and in which dimension."""

    focus_area: DimensionName

    def question(self) -> GetLearningInsights:
        """What the tool is asked."""
        return GetLearningInsights(self.rep_email, self.focus_area, self.days(), self.rubric_version)


class TopPerformer(ResponseBody):
    """Somebody to learn from."""

    email: str
    name: str
    sessions: int
    average: float


class Difference(ResponseBody):
    """A behaviour in the representative's calls and in the top performers'."""

    behaviour: str
    dimension: DimensionName
    median: float
    top_median: float
    calls: Annotated[int, Field(description="that have this figure")]
    top_calls: int
    delta: Annotated[float, Field(description="Cliff's delta, -1 to 1; below 0 where the representative's are lower")]
    magnitude: Literal["negligible", "small", "medium", "large"]
    advice: Annotated[str | None, Field(description="null where the difference is negligible")]


class SegmentTurn(ResponseBody):
    """What was said; times in milliseconds from the call's beginning."""

    sequence_number: int
    speaker: str
    side: str
    start_ms: int
    end_ms: int
    text: str


class Segment(ResponseBody):
    """A moment to listen to: what a coaching session quoted, with the turn before and the turn behind."""

    call_id: int
    title: str
    scheduled_at: datetime
    rep_email: str
    rep_name: str
    score: int
    evidence: Evidence
    turns: tuple[SegmentTurn, ...]


class Learning(ResponseBody):
    """A representative beside the top performers in one dimension."""

    rep: Rep
    focus_area: DimensionName
    period: Days
    rubric_version: Annotated[str | None, Field(description="whose sessions these are; null if there are none")]
    sessions: Annotated[int, Field(description="the representative's, in the dimension")]
    average: float | None
    top_performers: tuple[TopPerformer, ...]
    calls: Annotated[int, Field(description="the representative's that were compared")]
    top_calls: int
    differences: Annotated[tuple[Difference, ...], Field(description="the greatest first")]
    segments: Annotated[tuple[Segment, ...], Field(description="the best-scored first")]
    note: Annotated[str | None, Field(description="why something is missing, if so")]


class GetLearningInsightsResponse(Envelope[Learning]):
    """The answer."""

    @classmethod
    def of(cls, found: LearningInsights) -> GetLearningInsightsResponse:
        """What the tool answered, as it is sent."""
        return cls(data=Learning.model_validate(found))
