"""FastAPI's and Starlette's errors in the one shape. Touches: the application's exception handlers.

A handler that the application registers itself goes before these.

**Source:** FastAPI "Handling Errors"; RFC 9457.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.problem_details import Problem, ProblemDetailsMiddleware, problem_of, render, title_of
from tailrace.asgi.types import Receive, Scope, Send
from tailrace.errors import TailraceError

__all__ = ["ProblemResponse", "http_problem", "install_error_handlers", "validation_problem"]

BODILESS = frozenset({204, 205, 304})


class ProblemResponse(Response):
    """A problem as a Starlette response."""

    def __init__(self, problem: Problem, layer: ProblemDetailsMiddleware, exchange: Exchange) -> None:
        headers, body = render(problem, layer.shape, exchange)
        if problem.status in BODILESS:
            headers, body = [header for header in headers if not header[0].startswith(b"content-")], b""
        self.status_code = problem.status
        self.body = body
        self.raw_headers = headers
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else self.body})


def validation_problem(errors: Any, request_id: str = "") -> Problem:
    """422 with one entry for each mistake; what was sent is not repeated, it may hold a secret."""
    listed = [{"location": list(e["loc"]), "message": e["msg"], "type": e["type"]} for e in errors]
    return Problem(422, "validation_error", "The request is not valid.", request_id, errors=listed)


def http_problem(error: HTTPException, request_id: str = "") -> Problem:
    """What ``HTTPException`` says. A mapping as detail may bring its own ``code`` and ``message``."""
    try:
        code = HTTPStatus(error.status_code).name.lower()
    except ValueError:
        code = "http_error"
    detail: Any = error.detail
    data: dict[str, Any] = {}
    if isinstance(detail, Mapping):
        data = {str(name): value for name, value in detail.items()}
        code = str(data.pop("code", code))
        detail = data.pop("message", None)
    elif detail is not None and not isinstance(detail, str):
        data, detail = {"details": detail}, None
    return Problem(
        error.status_code,
        code,
        str(detail) if detail is not None else title_of(error.status_code),
        request_id,
        retryable=error.status_code in (429, 503, 504),
        data=data,
        headers=[
            (k.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for k, v in (error.headers or {}).items()
        ],
        error=error,
    )


def install_error_handlers(app: Any, layer: ProblemDetailsMiddleware) -> None:
    """Let every failure inside ``app`` be answered in the layer's shape."""

    async def on_tailrace_error(request: Request, error: Exception) -> Response:
        exchange = exchange_of(request.scope)
        exchange.error = error
        layer.note(error, exchange)
        return ProblemResponse(problem_of(error, exchange.request_id), layer, exchange)

    async def on_unexpected(request: Request, error: Exception) -> Response:
        # Starlette raises it again behind this answer; the layer outside logs it.
        exchange = exchange_of(request.scope)
        return ProblemResponse(problem_of(error, exchange.request_id), layer, exchange)

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        exchange = exchange_of(request.scope)
        return ProblemResponse(http_problem(error, exchange.request_id), layer, exchange)

    async def on_invalid(request: Request, error: Any) -> Response:
        exchange = exchange_of(request.scope)
        return ProblemResponse(validation_problem(error.errors(), exchange.request_id), layer, exchange)

    handlers = app.exception_handlers
    handlers.setdefault(TailraceError, on_tailrace_error)
    if 500 not in handlers:
        handlers.setdefault(Exception, on_unexpected)
    _replace_default(handlers, HTTPException, on_http_exception)
    try:
        from fastapi.exceptions import RequestValidationError
    except ImportError:
        return
    _replace_default(handlers, RequestValidationError, on_invalid)


def _replace_default(handlers: dict[Any, Any], kind: type[Exception], handler: Any) -> None:
    """Set ``handler`` unless the application has one that is not FastAPI's own."""
    known = handlers.get(kind)
    if known is None or getattr(known, "__module__", "").startswith("fastapi."):
        handlers[kind] = handler
