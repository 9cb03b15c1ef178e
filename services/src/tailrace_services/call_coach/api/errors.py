"""Every failure as one body: ``{"error": ..., "message": ..., "details": {...}, "request_id": ...}``. Pure.

A client that names ``application/problem+json`` in ``Accept`` gets RFC 9457 instead. Which status and code an error
has is Tailrace's: what may pass, like a lost connection, is 503 with ``Retry-After``; what will not is 500, and says
nothing of its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tailrace.asgi import ErrorShape, Problem, rfc9457

__all__ = ["SHAPE", "ErrorBody"]


class ErrorBody(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(frozen=True)

    error: Annotated[str, Field(description="Stable and machine-readable.", examples=["call_not_found"])]
    message: Annotated[str, Field(description="For people.")]
    details: Annotated[dict[str, Any], Field(description="`errors` lists single mistakes; more depends on the error.")]
    request_id: Annotated[str, Field(description="Under which the log has the rest.")]


def _rendered(problem: Problem) -> Mapping[str, Any]:
    details: dict[str, Any] = dict(problem.data)
    if problem.errors:
        details["errors"] = list(problem.errors)
    if problem.retry_after is not None:
        details["retry_after"] = problem.retry_after
    body = ErrorBody(error=problem.code, message=problem.detail, details=details, request_id=problem.request_id)
    return body.model_dump()


SHAPE = ErrorShape(_rendered, "application/json", ErrorBody.model_json_schema(), ErrorBody.__name__, (rfc9457,))
"""How failures look, those of the layers around the application too."""
