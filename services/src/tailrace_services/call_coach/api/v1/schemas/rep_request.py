"""What requests about a representative have in common. Pure."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import Field, model_validator

from tailrace_services.call_coach.api.v1.schemas.body import RequestBody
from tailrace_services.call_coach.tools.period import LONGEST_DAYS, USUAL_DAYS, Period

__all__ = ["RepRequest", "RequestedPeriod", "Text"]

Text = Annotated[str, Field(min_length=1, max_length=320, pattern=r"^[^\x00]*$")]
"""Something that a column of text may equal."""
Day = Annotated[date, Field(ge=date(1970, 1, 1), le=date(9000, 1, 1))]


class RequestedPeriod(RequestBody):
    """Whole days in UTC, both included."""

    first_day: Day
    last_day: Annotated[Day, Field(description=f"at most {LONGEST_DAYS} days from the first")]

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        self.period()
        return self

    def period(self) -> Period:
        """The period."""
        return Period(self.first_day, self.last_day)


class RepRequest(RequestBody):
    """Of whom, when, and by which rubric."""

    rep_email: Text
    period: Annotated[
        RequestedPeriod | None, Field(description=f"by default the {USUAL_DAYS} days that end with today")
    ] = None
    rubric_version: Annotated[
        Text | None, Field(description="by default that of most of the representative's sessions")
    ] = None

    def days(self) -> Period | None:
        """The period that is asked for."""
        return None if self.period is None else self.period.period()
