"""The slow code on the fast service's database: what is right, at any moment, in bearable time.

Touches: the environment. Tailrace's objects in that database (indexes above all) make the live
queries quick; the code, and so the answers, are the baseline's.
"""

from __future__ import annotations

from typing import Any

from tailrace_services.settings import database_url, load_services_settings
from tailrace_services.voice_dashboard.baseline.application import create_baseline_app
from tailrace_services.voice_dashboard.clock import service_clock

__all__ = ["create_reference_app"]


def create_reference_app() -> Any:
    """The baseline's code on the optimised database, configured from the environment."""
    settings = load_services_settings()
    return create_baseline_app(
        database_url("voice_dashboard"),
        provider_url=settings.provider_url,
        provider_key=settings.provider_api_key.get_secret_value(),
        clock=service_clock(settings.fixed_now),
    )
