"""Assembles the web application around an implementation. Touches nothing itself."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace_services.empty_application import Lifespan, empty_application
from tailrace_services.identity.authentication import Authenticator
from tailrace_services.voice_dashboard.api.dashboard import Dashboard
from tailrace_services.voice_dashboard.api.errors import install_error_handlers
from tailrace_services.voice_dashboard.api.routes import Mark, build_routes, unmarked
from tailrace_services.voice_dashboard.keys import KEYS, TOKENS

__all__ = ["MAX_BODY_BYTES", "authenticator_of", "new_application", "serve"]

MAX_BODY_BYTES = 64 * 1024
"""Largest request body."""

SUMMARY = "What a customer's voice agents did: key figures, trends, agents and credits"


def new_application(title: str, lifespan: Lifespan) -> FastAPI:
    """An application without routes that documents itself at ``/docs`` and answers failures in the service's body."""
    app = empty_application(title, SUMMARY, lifespan, max_body_bytes=MAX_BODY_BYTES)
    install_error_handlers(app)
    return app


def authenticator_of(dashboard: Dashboard, clock: Clock) -> Authenticator:
    """Decides which of the dashboard's users a request comes from."""
    return Authenticator(dashboard.accounts, KEYS, TOKENS, clock)


def serve(
    app: FastAPI,
    dashboard: Dashboard,
    clock: Clock,
    *,
    authenticator: Authenticator | None = None,
    mark: Mark = unmarked,
) -> None:
    """Let ``app`` answer ``/api/...`` by ``dashboard`` at ``clock``'s time; the rest as ``build_routes``."""
    app.include_router(build_routes(dashboard, clock, authenticator or authenticator_of(dashboard, clock), mark))
