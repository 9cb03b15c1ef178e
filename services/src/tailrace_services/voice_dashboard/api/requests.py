"""The bodies that writes accept. Pure. Unknown fields, NaN, NUL characters and out-of-range values are refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, model_validator
from pydantic.alias_generators import to_camel

from tailrace.errors import RequestError
from tailrace_services.voice_dashboard.api.schemas import AgentStatus, CallStatus

__all__ = ["FUTURE_TOLERANCE", "PAST_LIMIT", "AgentChange", "NewAgent", "NewCall", "NewLead", "call_moment"]

FUTURE_TOLERANCE = timedelta(seconds=60)
"""How far ahead of this machine's clock a caller's may be."""

PAST_LIMIT = timedelta(days=366)
"""How old a call may be when it is reported."""

LARGEST_ID = 2**63 - 1


def _printable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain NUL characters")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Kind = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_printable)]
Description = Annotated[str, Field(max_length=5000), AfterValidator(_printable)]
ExternalId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


class RequestBody(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        str_strip_whitespace=True,
    )


class NewCall(RequestBody):
    """``POST /api/calls``: a call that was made. Its credits are taken from the user's balance."""

    agent_id: Annotated[StrictInt, Field(ge=1, le=LARGEST_ID)]
    status: CallStatus
    duration_minutes: Annotated[Decimal, Field(ge=0, le=1440, decimal_places=3)] = Decimal(0)
    credits_used: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=2)] = Decimal(0)
    created_at: Annotated[AwareDatetime | None, Field(description="when it began; by default, now")] = None


class NewLead(RequestBody):
    """``POST /api/calls/{id}/lead``: an analysis of a call."""

    total_score: Annotated[StrictInt, Field(ge=0, le=100)]


class NewAgent(RequestBody):
    """``POST /api/agents``."""

    name: Name
    type: Kind
    status: AgentStatus = "draft"
    description: Description = ""
    external_id: Annotated[
        ExternalId | None, Field(description="its id at the voice provider; by default, a new one")
    ] = None


class AgentChange(RequestBody):
    """``PATCH /api/agents/{id}``: the fields that are to change, at least one."""

    name: Name | None = None
    type: Kind | None = None
    status: AgentStatus | None = None
    description: Description | None = None

    @model_validator(mode="after")
    def _something_to_change(self) -> AgentChange:
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("a field to change must not be null; leave out what stays")
        return self


def call_moment(requested: datetime | None, now: datetime) -> datetime:
    """When the call counts as made.

    Raises:
        RequestError: further in the future than :data:`FUTURE_TOLERANCE`, or older than :data:`PAST_LIMIT`.
    """
    if requested is None:
        return now
    if not now - PAST_LIMIT <= requested <= now + FUTURE_TOLERANCE:
        raise RequestError(
            f"createdAt must lie within the last {PAST_LIMIT.days} days and at most "
            f"{FUTURE_TOLERANCE.total_seconds():.0f} seconds ahead",
            status=422,
            code="VALIDATION_ERROR",
        )
    return requested
