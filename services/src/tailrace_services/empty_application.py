"""What the services' web applications have in common before they have routes. Touches nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from tailrace.asgi import ErrorShape, ProblemDetailsMiddleware, RequestContextMiddleware, rfc9457
from tailrace.fastapi import install_error_handlers
from tailrace_services.api_page import add_api_page
from tailrace_services.body_limit import BodyLimitMiddleware

__all__ = ["Lifespan", "add_ids_and_problems", "empty_application"]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def empty_application(title: str, summary: str, lifespan: Lifespan | None, *, max_body_bytes: int) -> FastAPI:
    """An application without routes that documents itself at ``/docs``.

    Args:
        max_body_bytes: of the largest request body; a larger one is 413.
    """
    app = FastAPI(
        title=title,
        version="1",
        summary=summary,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        docs_url=None,
        redoc_url=None,
    )
    add_api_page(app)
    app.add_middleware(BodyLimitMiddleware, limit=max_body_bytes)
    return app


def add_ids_and_problems(app: FastAPI, shape: ErrorShape = rfc9457) -> None:
    """Give an original request ids and errors of a shape, so that both implementations can be asked in the same way."""
    install_error_handlers(app, ProblemDetailsMiddleware(app, shape=shape))
    app.add_middleware(ProblemDetailsMiddleware, shape=shape)
    app.add_middleware(RequestContextMiddleware)
