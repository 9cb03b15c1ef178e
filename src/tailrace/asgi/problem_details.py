"""Problem details: one body for every failure. Pure but for a log line.

An error of Tailrace's tree answers its own status, code and ``Retry-After``; anything else that nobody handled answers
500 and says nothing but the request id, under which the log has the rest. The body is RFC 9457's, or the service's own
shape by a function that it hands in.

**Source:** RFC 9457 (problem details), RFC 9110 section 10.2.3 (Retry-After) and 9.3.2 (HEAD).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.headers import safe_value
from tailrace.asgi.request_context import route_template
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.core.content_negotiation import asked_for
from tailrace.errors import OutcomeUnknownError, OverloadedError, TailraceError

__all__ = ["PROBLEM_SCHEMA", "ErrorShape", "Problem", "ProblemDetailsMiddleware", "problem_of", "rfc9457", "title_of"]

_log = logging.getLogger("tailrace.asgi")

SERVER_ERROR = "The request could not be served. Quote the request id when you report this."
"""All that a client learns of an error that nobody expected."""

PROBLEM_SCHEMA: Mapping[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "default": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "Stable and machine-readable."},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "request_id": {"type": "string"},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "location": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}
"""JSON Schema of the RFC 9457 body."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure, before it has a shape.

    Attributes:
        status: 400..599.
        code: stable and machine-readable.
        detail: for people; nothing of an unexpected error is in it.
        request_id: "" where there is none.
        retryable: whether the same request may succeed later.
        retry_after: seconds, when known.
        errors: single mistakes, each with ``location``, ``message`` and ``type``.
        data: what the endpoint adds (for example fallback data); JSON values.
        headers: further response headers.
        error: the exception, for renderers that tell kinds apart; never shown as it is.
        type: URI of the problem type, where there is a registered one.
        title: the type's; by default the status's reason phrase.
    """

    status: int
    code: str
    detail: str
    request_id: str = ""
    retryable: bool = False
    retry_after: float | None = None
    errors: Sequence[Mapping[str, Any]] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Sequence[Header] = ()
    error: BaseException | None = None
    type: str = "about:blank"
    title: str = ""


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How a failure looks on the wire.

    Attributes:
        render: the body as JSON values.
        media_type: its media type.
        schema: its JSON Schema, for OpenAPI; self-contained.
        name: the schema's name there.
        others: what a client gets that asks for their media type by name, as in ``Accept: application/problem+json``.
    """

    render: Callable[[Problem], Mapping[str, Any]]
    media_type: str = "application/json"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    name: str = "Error"
    others: tuple[ErrorShape, ...] = ()

    def asked_by(self, exchange: Exchange) -> ErrorShape:
        """The shape that the client asks for: this one, or one of the others."""
        if self.others:
            accept = exchange.headers.get(b"accept")
            for other in self.others:
                if asked_for(accept, other.media_type, self.media_type):
                    return other
        return self


def title_of(status: int) -> str:
    """The reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _rfc9457(problem: Problem) -> Mapping[str, Any]:
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title or title_of(problem.status),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "retryable": problem.retryable,
    }
    if problem.request_id:
        body["request_id"] = problem.request_id
    if problem.errors:
        body["errors"] = list(problem.errors)
    return {**problem.data, **body}


rfc9457 = ErrorShape(_rfc9457, "application/problem+json", PROBLEM_SCHEMA, "Problem")
"""The default shape."""


def problem_of(error: BaseException, request_id: str = "") -> Problem:
    """What a client may learn of an exception."""
    if isinstance(error, TailraceError):
        return Problem(
            status=error.status,
            code=error.code,
            # The message of a 4xx is written for the client; a 5xx may name tables, hosts or statements.
            detail=str(error) if error.status < 500 else _hint(error),
            request_id=request_id,
            retryable=error.retryable,
            retry_after=SOON if error.retry_after is None and error.status == 503 else error.retry_after,
            data=getattr(error, "data", None) or {},
            headers=getattr(error, "headers", ()),
            error=error,
        )
    return Problem(500, "internal_error", SERVER_ERROR, request_id, error=error)


SOON = 1.0
"""Seconds for ``Retry-After`` of a 503 when nothing better is known."""

_RETRY = "The service cannot answer this just now; the same request may succeed later."
_UNKNOWN = "Whether this was done is not known. Look before you ask again: the same request might do it twice."


def _hint(error: TailraceError) -> str:
    """What a client may do after a 5xx."""
    if isinstance(error, OutcomeUnknownError):
        return _UNKNOWN
    return _RETRY if error.retryable else SERVER_ERROR


def _expected(error: TailraceError) -> bool:
    """Whether it is nothing that somebody should mend in the program."""
    return error.status < 500 or error.retryable or isinstance(error, OutcomeUnknownError)


def render(problem: Problem, shape: ErrorShape, exchange: Exchange) -> tuple[list[Header], bytes]:
    """Headers and body, in the one of the shapes that the client asks for.

    A value that JSON cannot hold is written as text rather than failing twice.
    """
    chosen = shape.asked_by(exchange)
    body = json.dumps(chosen.render(problem), default=str, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
    headers = [
        (b"content-type", chosen.media_type.encode("latin-1")),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if shape.others:
        headers.append((b"vary", b"accept"))
    if problem.retry_after is not None and math.isfinite(problem.retry_after):
        headers.append((b"retry-after", b"%d" % max(0, math.ceil(problem.retry_after))))
    taken = {name for name, _ in headers}
    headers += [
        (name.lower(), safe_value(value.decode("latin-1")))
        for name, value in problem.headers
        if name.lower() not in taken
    ]
    return headers, body


class ProblemDetailsMiddleware:
    """Answers every exception that reaches it, in one shape.

    A response that has begun cannot be taken back: the connection is broken off, so that the client does not take a
    part for the whole. The exception is logged with the request id and, but for that case, goes no further.

    Args:
        app: the application.
        shape: how failures look.
        on_error: told of every unexpected exception, for error trackers; what it raises is logged and ignored. The
            exchange that it gets knows the route's template, where a route was matched.
        route_of: the template of the matched route.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        shape: ErrorShape = rfc9457,
        on_error: Callable[[BaseException, Exchange], None] | None = None,
        route_of: Callable[[Exchange], str | None] = route_template,
    ) -> None:
        self.app = app
        self.shape = shape
        self._on_error = on_error
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        send = exchange.watching(send)
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            exchange.error = error
            if exchange.disconnected:
                return
            self.note(error, exchange)
            if exchange.complete:
                return
            if exchange.status:
                raise
            await self.answer(problem_of(error, exchange.request_id), scope, send)

    def note(self, error: BaseException, exchange: Exchange) -> None:
        """Log what happened; tell the error tracker if nobody expected it."""
        if isinstance(error, OverloadedError):
            return  # counted; a line in the log for each would add to the load
        if isinstance(error, TailraceError) and _expected(error):
            _log.warning("%s (%s) in request %s", error.code, type(error).__name__, exchange.request_id)
            return
        if self._on_error is not None:
            # Before the line in the log: a tracker that collects those too then knows this error already.
            try:
                exchange.route = exchange.route or self._route_of(exchange)
                self._on_error(error, exchange)
            except Exception:
                _log.exception("the error hook failed in request %s", exchange.request_id)
        _log.error("unhandled %s in request %s", type(error).__name__, exchange.request_id, exc_info=error)

    async def answer(self, problem: Problem, scope: Scope, send: Send) -> None:
        """Send ``problem`` as the whole response."""
        headers, body = render(problem, self.shape, exchange_of(scope))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
