"""The applications as the environment configures them."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.services.voice_dashboard.endpoints.conftest import NOW, Provider, key_of

import tailrace_services.voice_dashboard as service
from tailrace.errors import SettingsError
from tailrace_services.voice_dashboard.applications import app_from_environment, baseline_app_from_environment


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No application made before, none left behind."""
    yield monkeypatch
    for name in ("app", "baseline_app"):
        vars(service).pop(name, None)


def test_importing_the_package_reads_no_environment(environment: pytest.MonkeyPatch) -> None:
    """Only who asks for an application needs a database; a missing one is said in one line."""
    environment.delenv("TAILRACE_DATABASE_URL", raising=False)
    importlib.reload(service)
    with pytest.raises(SettingsError, match="TAILRACE_DATABASE_URL"):
        _ = service.app
    with pytest.raises(AttributeError):
        _ = service.nothing


async def test_a_frozen_clock_decides_what_is_the_present(
    environment: pytest.MonkeyPatch, new_database: Any, provider: Provider
) -> None:
    """Both applications answer for the moment that the environment names."""
    url = new_database("optimised")
    environment.setenv("TAILRACE_DATABASE_URL", url)
    environment.setenv("TAILRACE_SERVICES_FIXED_NOW", NOW.isoformat())
    environment.setenv("TAILRACE_SERVICES_PROVIDER_URL", provider.url)
    for module in ("settings", "voice_dashboard.applications"):
        environment.setattr(f"tailrace_services.{module}.database_url", lambda _service, baseline=False: url)
    bodies = []
    for app in (app_from_environment(), baseline_app_from_environment()):
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as client,
        ):
            response = await client.get("/api/dashboard/analytics?days=3", headers={"x-api-key": key_of(2)})
            bodies.append(response.content)
            calculated = datetime.fromisoformat(response.json()["calculatedAt"])
            assert calculated == NOW.astimezone(UTC)
    assert bodies[0] == bodies[1]


async def test_hundreds_at_once_from_a_cold_cache_all_get_whole_answers(start_service: Any) -> None:
    """Nobody is refused, and nothing is partial, because others calculate at the same time."""
    async with start_service("optimised") as optimised:
        paths = ("/api/dashboard/overview", "/api/dashboard/analytics?days=30")
        asked = [optimised.get(path, user=user) for user in range(1, 61) for path in paths]
        for response in await asyncio.gather(*asked):
            assert response.status_code == 200, response.text
            assert not response.json().get("partial")
