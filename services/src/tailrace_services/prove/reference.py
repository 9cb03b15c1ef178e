"""The slow code on the fast service's database: what is right, at any moment, in bearable time.

Touches: the environment, the database. Tailrace's objects in that database (indexes above all) make the live queries
quick; the code, and so the answers, are the baseline's. One index more serves the queries that the fast code does not
have; it is there only while answers are compared, never while anything is timed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tailrace_services.clock import service_clock
from tailrace_services.data.connection import open_connection
from tailrace_services.settings import database_url, load_services_settings
from tailrace_services.voice_dashboard.baseline.application import create_baseline_app

__all__ = ["create_reference_app", "reference_index"]

CREATE = "CREATE INDEX IF NOT EXISTS prove_reference ON calls (agent_id, created_at)"
DROP = "DROP INDEX IF EXISTS prove_reference"


@asynccontextmanager
async def reference_index(url: str) -> AsyncIterator[None]:
    """The index by which the baseline's queries for one agent are quick. Cost: some seconds at ten million calls."""
    async with open_connection(url) as connection:
        await connection.execute(CREATE)
    try:
        yield
    finally:
        async with open_connection(url) as connection:
            await connection.execute(DROP)


def create_reference_app() -> Any:
    """The baseline's code on the optimised database, configured from the environment."""
    settings = load_services_settings()
    return create_baseline_app(
        database_url("voice_dashboard"),
        provider_url=settings.provider_url,
        provider_key=settings.provider_api_key.get_secret_value(),
        clock=service_clock(settings.fixed_now),
    )
