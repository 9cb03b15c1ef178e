"""The service as web applications, configured from the environment. Touches: the environment, once."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace.settings import load_settings
from tailrace_services.clock import service_clock
from tailrace_services.research_hub.baseline.application import create_baseline_app
from tailrace_services.research_hub.optimised.application import create_app
from tailrace_services.settings import database_url, load_services_settings, service_settings, shared_cursors

__all__ = ["SERVICE", "app_from_environment", "baseline_app_from_environment", "create_app", "create_baseline_app"]

SERVICE = "research_hub"


def app_from_environment() -> FastAPI:
    """The optimised service on its own database.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    services = load_services_settings()
    settings = service_settings(SERVICE, services.fixed_now)
    return create_app(
        settings,
        clock=service_clock(services.fixed_now),
        embed_posts=services.embed_posts,
        least_similarity=services.research_least_similarity,
    )


def baseline_app_from_environment(url: str | None = None) -> FastAPI:
    """The original on its own copy of the data, or on the database at ``url``.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    services = load_services_settings()
    settings = load_settings()
    return create_baseline_app(
        url or database_url(SERVICE, baseline=True),
        clock=service_clock(services.fixed_now),
        cursors=shared_cursors(settings),
        outbound=settings.outbound,
        least_similarity=services.research_least_similarity,
    )
