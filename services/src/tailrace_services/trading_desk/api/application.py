"""Assembles the web application around an implementation. Touches nothing itself."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace_services.empty_application import Lifespan, empty_application
from tailrace_services.trading_desk.api.around import Around
from tailrace_services.trading_desk.api.desk import Desk
from tailrace_services.trading_desk.api.query import Answerer, build_query_routes
from tailrace_services.trading_desk.api.routes import build_routes

__all__ = ["MAX_BODY_BYTES", "new_application", "serve"]

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Largest request body: ten thousand signals with their messages."""

SUMMARY = "The work items of a trading desk, who changed what, trading signals, and answers from documents"


def new_application(title: str, lifespan: Lifespan | None = None) -> FastAPI:
    """An application without routes that documents itself at ``/docs``."""
    return empty_application(title, SUMMARY, lifespan, max_body_bytes=MAX_BODY_BYTES)


def serve(app: FastAPI, desk: Desk, answerer: Answerer, around: Around) -> None:
    """Let ``app`` answer by ``desk``, and questions about documents by ``answerer``."""
    app.include_router(build_routes(desk, around))
    app.include_router(build_query_routes(answerer))
