"""The service as web applications, configured from the environment. Touches: the environment, once."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace_services.clock import service_clock
from tailrace_services.settings import database_url, load_services_settings, service_settings
from tailrace_services.voice_dashboard.baseline.application import create_baseline_app
from tailrace_services.voice_dashboard.optimised.application import create_app
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings

__all__ = ["SERVICE", "app_from_environment", "baseline_app_from_environment", "create_app", "create_baseline_app"]

SERVICE = "voice_dashboard"

POOL_TIMEOUT = 10.0
"""Seconds to wait for a connection, unless the environment says otherwise: after a cold start hundreds of users may
come at once, and all of their answers are calculated within a few seconds."""


def app_from_environment() -> FastAPI:
    """The optimised service on its own database.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    services = load_services_settings()
    settings = service_settings(SERVICE, services.fixed_now)
    if "pool_timeout" not in settings.database.model_fields_set:
        patient = settings.database.model_copy(update={"pool_timeout": POOL_TIMEOUT})
        settings = settings.model_copy(update={"database": patient})
    provider = VoiceProviderSettings(base_url=services.provider_url, api_key=services.provider_api_key)
    return create_app(settings, provider=provider, clock=service_clock(services.fixed_now))


def baseline_app_from_environment() -> FastAPI:
    """The original on its own copy of the data.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    services = load_services_settings()
    return create_baseline_app(
        database_url(SERVICE, baseline=True),
        provider_url=services.provider_url,
        provider_key=services.provider_api_key.get_secret_value(),
        clock=service_clock(services.fixed_now),
    )
