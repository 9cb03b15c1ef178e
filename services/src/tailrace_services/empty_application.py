"""What the services' web applications have in common before they have routes. Touches nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from tailrace_services.body_limit import BodyLimitMiddleware

__all__ = ["Lifespan", "empty_application"]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def empty_application(title: str, summary: str, lifespan: Lifespan | None, *, max_body_bytes: int) -> FastAPI:
    """An application without routes that documents itself at ``/docs``.

    Args:
        max_body_bytes: of the largest request body; a larger one is 413.
    """
    app = FastAPI(title=title, version="1", summary=summary, lifespan=lifespan, separate_input_output_schemas=False)
    app.add_middleware(BodyLimitMiddleware, limit=max_body_bytes)
    return app
