"""Assembles the web application around an implementation. Touches nothing itself."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import FastAPI

from tailrace.fastapi import Alias, Deprecated, Version, Versions
from tailrace_services.call_coach.api.callers import Callers
from tailrace_services.call_coach.api.coach import Coach
from tailrace_services.call_coach.api.v1 import routes as v1
from tailrace_services.empty_application import Lifespan, empty_application

__all__ = ["MAX_BODY_BYTES", "UNVERSIONED", "VERSIONS", "new_application", "serve"]

MAX_BODY_BYTES = 64 * 1024
"""Largest request body."""

SUMMARY = "Coaching of sales representatives from recorded calls, emails and opportunities"

UNVERSIONED = Deprecated(
    since=datetime(2026, 11, 1, tzinfo=UTC),
    sunset=datetime(2027, 11, 1, tzinfo=UTC),
)
"""The addresses from before there were versions."""

VERSIONS = Versions([Version("v1")], base="/api", aliases=[Alias("/tools", f"{v1.PREFIX}/tools", UNVERSIONED)])


def new_application(title: str, lifespan: Lifespan) -> FastAPI:
    """An application without routes that documents itself at ``/docs``."""
    return empty_application(title, SUMMARY, lifespan, max_body_bytes=MAX_BODY_BYTES)


def serve(app: FastAPI, coach: Coach, callers: Callers) -> None:
    """Let ``app`` answer every version of the tools by ``coach``, to ``callers`` and to who does not say who it is."""
    app.include_router(v1.build_routes(coach, callers))
