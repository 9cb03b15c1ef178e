"""The slow implementation as a web application. Touches: the database and the voice provider, once requests come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace_services.voice_dashboard.api.application import new_application, serve
from tailrace_services.voice_dashboard.baseline.dashboard import BaselineDashboard

__all__ = ["create_baseline_app"]


def create_baseline_app(database_url: str, *, provider_url: str, provider_key: str, clock: Clock) -> FastAPI:
    """The service as it was, without Tailrace, on any database that has the service's tables.

    Args:
        database_url: ``postgresql://...``.
        provider_url: base address of the voice provider.
        provider_key: its API key.
        clock: the service's time.
    """
    dashboard = BaselineDashboard(database_url, provider_url=provider_url, provider_key=provider_key, clock=clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await dashboard.aclose()

    app = new_application("Voice Dashboard, as it was", lifespan)
    serve(app, dashboard, clock)
    return app
