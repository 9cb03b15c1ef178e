"""Assembles the web application around an implementation. Touches nothing itself."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace_services.empty_application import Lifespan, empty_application
from tailrace_services.research_hub.api.health import build_health_routes
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.research import Researcher, build_research_routes
from tailrace_services.research_hub.api.routes import build_routes
from tailrace_services.research_hub.api.scrape import build_scrape_routes
from tailrace_services.research_hub.api.surroundings import Surroundings
from tailrace_services.research_hub.api.tokens import build_token_routes

__all__ = ["MAX_BODY_BYTES", "new_application", "serve"]

MAX_BODY_BYTES = 256 * 1024
"""Largest request body."""

SUMMARY = "Posts collected from platforms, what they have in common, and what its users make of them"


def new_application(title: str, lifespan: Lifespan) -> FastAPI:
    """An application without routes that documents itself at ``/docs``."""
    return empty_application(title, SUMMARY, lifespan, max_body_bytes=MAX_BODY_BYTES)


def serve(app: FastAPI, hub: Hub, researcher: Researcher, around: Surroundings) -> None:
    """Let ``app`` answer by ``hub``, and questions about the posts by ``researcher``."""
    app.include_router(build_routes(hub, around))
    app.include_router(build_token_routes(hub, around))
    app.include_router(build_health_routes(hub.health, around))
    app.include_router(build_scrape_routes(hub.collector, around))
    app.include_router(build_research_routes(researcher, around))
