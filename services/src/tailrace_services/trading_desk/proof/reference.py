"""Trading Desk's slow code on the fast service's database. Touches: the environment, the database."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace_services.settings import database_url
from tailrace_services.trading_desk.applications import SERVICE, baseline_app_from_environment

__all__ = ["create_reference_app"]


def create_reference_app() -> FastAPI:
    """Configured from the environment."""
    return baseline_app_from_environment(database_url(SERVICE))
