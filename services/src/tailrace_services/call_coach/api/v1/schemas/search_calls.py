"""``search_calls`` in the first version of the API. Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, StringConstraints, model_validator

from tailrace.core.cursor import MAX_CURSOR
from tailrace_services.call_coach.api.v1.schemas.body import Envelope, RequestBody, ResponseBody
from tailrace_services.call_coach.tools.search_calls import RANKED, FoundCalls, SearchCalls, Sort, TotalAsked
from tailrace_services.call_coach.tools.search_pages import CAP, MAX_LIMIT, MAX_OFFSET
from tailrace_services.instant import Instant

__all__ = ["SearchCallsRequest", "SearchCallsResponse"]

CallTypeName = Literal["discovery", "demo", "negotiation", "follow_up", "renewal", "other"]
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
Named = Annotated[str, StringConstraints(min_length=1, max_length=320, pattern=r"^[^\x00]*$")]
Score = Annotated[Decimal, Field(ge=0, le=100, max_digits=5, decimal_places=2)]
Number = Annotated[Decimal, PlainSerializer(float, return_type=float)]


class SearchCallsRequest(RequestBody):
    """Which calls, in which order, and which page of them. What is left out does not restrict."""

    text: Annotated[
        Said | None,
        Field(description='what is said in the call, as in search engines: `pricing "annual contract" -demo`'),
    ] = None
    topics: Annotated[
        tuple[Said, ...], Field(max_length=10, description="words or phrases that are all said in the call")
    ] = ()
    product: Named | None = None
    call_type: CallTypeName | None = None
    reps: Annotated[tuple[Named, ...], Field(max_length=50, description="emails; one of them takes part")] = ()
    scheduled_from: Annotated[Instant | None, Field(description="then or later")] = None
    scheduled_until: Annotated[Instant | None, Field(description="before")] = None
    min_score: Score | None = None
    max_score: Score | None = None
    sort: Annotated[
        Sort,
        Field(
            description="`-` for descending; no product and no score come last either way. `relevance` ranks the "
            f"newest {RANKED} calls that fit, best first."
        ),
    ] = "-scheduled_at"
    total: Annotated[
        TotalAsked,
        Field(description=f"how to count all that fit; `capped` and `estimated` stop counting at {CAP:,}"),
    ] = "none"
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, strict=True)] = 20
    offset: Annotated[
        int | None,
        Field(ge=0, strict=True, description=f"calls to skip, {MAX_OFFSET:,} at most; `cursor` goes further"),
    ] = None
    cursor: Annotated[
        str | None, Field(max_length=MAX_CURSOR, description="of the page before, for the same search")
    ] = None

    @model_validator(mode="after")
    def _makes_sense(self) -> SearchCallsRequest:
        self.question()
        return self

    def question(self) -> SearchCalls:
        """What the tool is asked.

        Raises:
            ValueError: it contradicts itself.
        """
        return SearchCalls(**{name: getattr(self, name) for name in type(self).model_fields})


class Representative(ResponseBody):
    """Who took part for the selling side."""

    email: str
    name: str


class Moment(ResponseBody):
    """A turn that says what was looked for; times in milliseconds from the call's beginning."""

    sequence_number: int
    start_ms: int
    end_ms: int
    speaker: str
    snippet: Annotated[str, Field(description="HTML; what was looked for stands in `<mark>`")]


class FoundCall(ResponseBody):
    """A call that fits."""

    call_id: int
    title: str
    product: str | None
    call_type: str
    scheduled_at: datetime
    duration_seconds: Number
    score: Annotated[Number | None, Field(description="mean of its coaching sessions' scores")]
    reps: tuple[Representative, ...]
    relevance: Annotated[Number | None, Field(description="null where no words were looked for")]
    moments: Annotated[tuple[Moment, ...], Field(description="the turns that say most of what was looked for")]


class Found(ResponseBody):
    """A page of calls."""

    items: tuple[FoundCall, ...]
    total: Annotated[int | None, Field(description="how many fit in all, if that was asked for")]
    total_is: Annotated[
        Literal["exact", "at_least", "estimate", "unknown"],
        Field(description="counted, the number at which counting stopped, an estimate, or not asked for"),
    ]
    has_next: bool
    has_previous: bool
    next_cursor: str | None
    previous_cursor: str | None


class SearchCallsResponse(Envelope[Found]):
    """The answer."""

    @classmethod
    def of(cls, found: FoundCalls) -> SearchCallsResponse:
        """What the tool answered, as it is sent."""
        return cls(data=Found.model_validate(found))
