"""The Voice Dashboard's slow code on the fast service's database. Touches: the environment, the database."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace_services.clock import service_clock
from tailrace_services.settings import database_url, load_services_settings
from tailrace_services.voice_dashboard.baseline.application import create_baseline_app

__all__ = ["create_reference_app"]


def create_reference_app() -> FastAPI:
    """Configured from the environment."""
    settings = load_services_settings()
    return create_baseline_app(
        database_url("voice_dashboard"),
        provider_url=settings.provider_url,
        provider_key=settings.provider_api_key.get_secret_value(),
        clock=service_clock(settings.fixed_now),
    )
