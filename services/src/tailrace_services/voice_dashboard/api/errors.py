"""Every failure as one body: ``{"success": false, "error": {...}}``. Touches: the log, for what nobody expected.

What a caller sent is never repeated in an error, so nothing secret and nothing unprintable can come back.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tailrace.asgi import ErrorShape, Problem
from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    ConflictError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    PoolTimeoutError,
    RequestError,
    TailraceError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tailrace_services.voice_dashboard.api.body import ErrorBody, ErrorDetail
from tailrace_services.voice_dashboard.api.dashboard import NoAnswerError

__all__ = ["SHAPE", "error_response", "install_error_handlers"]

logger = logging.getLogger(__name__)

RETRY_AFTER = 1
"""Seconds after which a caller may try again when nothing better is known."""

CODES: dict[type[TailraceError], tuple[int, str]] = {
    DatabaseTimeoutError: (503, "PERFORMANCE_TIMEOUT"),
    PoolTimeoutError: (503, "OVERLOADED"),
    DatabaseUnavailableError: (503, "DATABASE_UNAVAILABLE"),
    ConflictError: (503, "TRANSACTION_CONFLICT"),
    UpstreamTimeoutError: (504, "EXTERNAL_API_TIMEOUT"),
    UpstreamUnavailableError: (502, "EXTERNAL_API_RETRY_FAILED"),
    UpstreamRejectedError: (502, "EXTERNAL_API_REJECTED"),
    CircuitOpenError: (503, "EXTERNAL_API_SUSPENDED"),
    BulkheadFullError: (503, "EXTERNAL_API_SUSPENDED"),
}

MESSAGES = {
    "CACHE_MISS": "the answer is not in the cache",
    "PERFORMANCE_TIMEOUT": "the answer was not ready in time",
    "OVERLOADED": "the service is busy",
    "DATABASE_UNAVAILABLE": "the database cannot be reached",
    "TRANSACTION_CONFLICT": "others changed the same rows at the same time",
    "EXTERNAL_API_TIMEOUT": "the voice provider did not answer in time",
    "EXTERNAL_API_RETRY_FAILED": "the voice provider failed at every attempt",
    "EXTERNAL_API_REJECTED": "the voice provider refused the request",
    "EXTERNAL_API_SUSPENDED": "the voice provider is not asked for the moment",
    "INTERNAL_ERROR": "something unexpected went wrong; it has been logged",
}

HTTP_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


def error_response(
    status: int,
    code: str,
    message: str,
    *,
    details: object | None = None,
    fallback_data: object | None = None,
    retry_attempts: int = 0,
    headers: dict[str, str] | None = None,
) -> Response:
    """One failure as it is sent."""
    detail = ErrorDetail(
        code=code, message=message, details=details, fallback_data=fallback_data, retry_attempts=retry_attempts
    )
    body = ErrorBody(error=detail).json_bytes()
    return Response(
        body, status, headers={"cache-control": "no-store", **(headers or {})}, media_type="application/json"
    )


def _tailrace_error(error: TailraceError, last_known: bytes | None = None) -> Response:
    if isinstance(error, RequestError):
        headers = {"www-authenticate": 'Bearer realm="voice-dashboard"'} if error.status == 401 else None
        return error_response(error.status, error.code.upper(), str(error), headers=headers)
    status, code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), (500, "INTERNAL_ERROR"))
    if status == 500:
        logger.error("request failed", exc_info=error)
    headers = {"retry-after": str(max(RETRY_AFTER, round(error.retry_after or 0)))} if status == 503 else None
    return error_response(
        status,
        code,
        MESSAGES[code],
        fallback_data=None if last_known is None else json.loads(last_known),
        retry_attempts=getattr(error, "retries", 0),
        headers=headers,
    )


def _rendered(problem: Problem) -> dict[str, Any]:
    """A failure outside the routes, in a layer around them, in the same body."""
    code = problem.code.upper()
    if isinstance(problem.error, TailraceError) and not isinstance(problem.error, RequestError):
        code = next((CODES[kind][1] for kind in type(problem.error).__mro__ if kind in CODES), "INTERNAL_ERROR")
    detail = ErrorDetail(code=code, message=MESSAGES.get(code, problem.detail))
    return ErrorBody(error=detail).model_dump(mode="json", by_alias=True)


SHAPE = ErrorShape(_rendered, "application/json", ErrorBody.model_json_schema(by_alias=True), ErrorBody.__name__)
"""The same body for failures in the layers around the application."""


def _where(location: tuple[Any, ...]) -> str:
    """``body.totalScore`` for ``("body", "totalScore")``; a caller's own field names are cut short."""
    return ".".join(str(part).encode("ascii", "backslashreplace").decode()[:100] for part in location)


def _validation_error(error: RequestValidationError) -> Response:
    problems = [
        {"field": _where(problem["loc"]), "problem": problem["type"], "message": problem["msg"]}
        for problem in error.errors()[:20]
    ]
    if any(problem["problem"] == "json_invalid" for problem in problems):
        return error_response(400, "INVALID_JSON", "the body is not valid JSON", details=problems)
    return error_response(422, "VALIDATION_ERROR", "the request is not valid", details=problems)


def _http_error(error: HTTPException) -> Response:
    code = HTTP_CODES.get(error.status_code, f"HTTP_{error.status_code}")
    message = str(error.detail) if error.status_code != 404 else "there is nothing at this address"
    if error.status_code == 405:
        message = "this address does not know the method"
    return error_response(
        error.status_code,
        code,
        message or HTTPStatus(error.status_code).phrase,
        headers={name.lower(): value for name, value in (error.headers or {}).items()},
    )


def install_error_handlers(app: FastAPI) -> None:
    """Give every failure of ``app`` the service's body."""

    @app.exception_handler(NoAnswerError)
    async def _(_request: Request, error: NoAnswerError) -> Response:
        return _tailrace_error(error.reason, error.last_known)

    @app.exception_handler(TailraceError)
    async def _(_request: Request, error: TailraceError) -> Response:
        return _tailrace_error(error)

    @app.exception_handler(RequestValidationError)
    async def _(_request: Request, error: RequestValidationError) -> Response:
        return _validation_error(error)

    @app.exception_handler(HTTPException)
    async def _(_request: Request, error: HTTPException) -> Response:
        return _http_error(error)

    @app.exception_handler(TimeoutError)
    async def _(_request: Request, _error: TimeoutError) -> Response:
        return _tailrace_error(DatabaseTimeoutError("out of time"))

    @app.exception_handler(Exception)
    async def _(_request: Request, _error: Exception) -> Response:
        # The server logs the traceback: Starlette raises the exception again once the answer is sent.
        return error_response(500, "INTERNAL_ERROR", MESSAGES["INTERNAL_ERROR"])
