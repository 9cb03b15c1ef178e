"""``analyze_call`` in the first version of the API. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tailrace_services.call_coach.api.v1.schemas.body import Envelope, Id, RequestBody, ResponseBody
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.tools.analyze_call import AnalyzeCall, CallAnalysis

__all__ = ["AnalyzeCallRequest", "AnalyzeCallResponse", "DimensionName", "Evidence"]

DimensionName = Literal["product_knowledge", "discovery", "objection_handling", "engagement"]


def _distinct(names: tuple[DimensionName, ...]) -> tuple[DimensionName, ...]:
    if len(set(names)) < len(names):
        raise ValueError("name each dimension once")
    return names


class AnalyzeCallRequest(RequestBody):
    """Which call, and what of it."""

    call_id: Id
    dimensions: Annotated[
        tuple[DimensionName, ...],
        Field(min_length=1, max_length=len(DIMENSIONS), description="those that are wanted; by default all"),
        AfterValidator(_distinct),
    ] = DIMENSIONS  # type: ignore[assignment]
    force: Annotated[
        bool, Field(strict=True, description="analyse anew, whatever is stored; for known callers only")
    ] = False

    def question(self) -> AnalyzeCall:
        """What the tool is asked."""
        return AnalyzeCall(self.call_id, self.dimensions, self.force)


class Evidence(ResponseBody):
    """Words of the call itself; times in milliseconds from its beginning."""

    sequence_number: int
    start_ms: int
    end_ms: int
    speaker: str
    quote: str


class DimensionAnalysis(ResponseBody):
    """How the representatives did in one dimension."""

    dimension: DimensionName
    score: Annotated[int | None, Field(description="0 to 100; null if the call gave no occasion")]
    strengths: tuple[str, ...]
    improvements: tuple[str, ...]
    evidence: tuple[Evidence, ...]


class ConversationFigures(ResponseBody):
    """What was measured; null where there was nothing to measure. Shares are 0 to 1."""

    speaking_seconds: float
    listening_seconds: float
    talk_share: float | None
    longest_monologue_seconds: float
    longest_customer_story_seconds: float
    interruptions: int
    interrupted: int
    questions: int
    questions_asked_back: int
    open_question_share: float | None
    patience_seconds: float | None
    fillers_per_minute: float | None
    words_per_minute: float | None
    switches_per_minute: float | None
    next_steps: int
    dated_next_steps: int
    pricing_mentions: int
    competitor_mentions: int
    objections: int
    objections_handled: int
    questions_due: int
    questions_answered: int


class AnalyzedCall(ResponseBody):
    """An analysis of a call."""

    call_id: int
    transcript_version: Annotated[str, Field(description="changes with any change of turns or speakers")]
    rubric_version: Annotated[str, Field(description="scores of different versions cannot be compared")]
    analyst: str
    degraded: Annotated[bool, Field(description="the analyst could not answer; a simpler one did, and it is not kept")]
    analysed_at: datetime
    dimensions: tuple[DimensionAnalysis, ...]
    metrics: ConversationFigures


class AnalyzeCallResponse(Envelope[AnalyzedCall]):
    """The answer."""

    @classmethod
    def of(cls, found: CallAnalysis) -> AnalyzeCallResponse:
        """What the tool answered, as it is sent."""
        analysis = found.analysis
        data = AnalyzedCall(
            call_id=found.call_id,
            transcript_version=found.transcript_version,
            rubric_version=analysis.rubric_version,
            analyst=analysis.analyst,
            degraded=analysis.degraded,
            analysed_at=found.analysed_at,
            dimensions=tuple(DimensionAnalysis.model_validate(each) for each in analysis.dimensions),
            metrics=ConversationFigures.model_validate(analysis.metrics),
        )
        return cls(data=data)
