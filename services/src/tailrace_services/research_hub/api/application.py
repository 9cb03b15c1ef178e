"""Assembles the web application around an implementation. Touches nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from tailrace_services.body_limit import BodyLimitMiddleware

__all__ = ["MAX_BODY_BYTES", "new_application"]

MAX_BODY_BYTES = 256 * 1024
"""Largest request body."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def new_application(title: str, lifespan: Lifespan | None = None) -> FastAPI:
    """An application without routes that documents itself at ``/docs``."""
    app = FastAPI(
        title=title,
        version="1",
        summary="Posts collected from platforms, what they have in common, and what its users make of them",
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.add_middleware(BodyLimitMiddleware, limit=MAX_BODY_BYTES)
    return app
