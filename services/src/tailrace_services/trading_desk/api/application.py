"""Assembles the web application around an implementation. Touches nothing itself."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace_services.empty_application import Lifespan, empty_application
from tailrace_services.trading_desk.api.desk import Desk
from tailrace_services.trading_desk.api.routes import Around, build_routes

__all__ = ["MAX_BODY_BYTES", "new_application", "serve"]

MAX_BODY_BYTES = 256 * 1024
"""Largest request body."""

SUMMARY = "The work items of a trading desk, and who changed what"


def new_application(title: str, lifespan: Lifespan | None = None) -> FastAPI:
    """An application without routes that documents itself at ``/docs``."""
    return empty_application(title, SUMMARY, lifespan, max_body_bytes=MAX_BODY_BYTES)


def serve(app: FastAPI, desk: Desk, around: Around) -> None:
    """Let ``app`` answer by ``desk``."""
    app.include_router(build_routes(desk, around))
