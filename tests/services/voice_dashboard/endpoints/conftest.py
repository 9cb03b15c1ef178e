"""A small generated year of traffic, the voice provider's simulator, and both implementations on copies of it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import uvicorn
from pydantic import SecretStr
from tests.conftest import MakeDatabase, Originals
from tests.services.implementations import Implementation, client_of, generated_for_each

from tailrace.clock import Clock
from tailrace.settings import Settings
from tailrace_services.clock import FrozenClock
from tailrace_services.voice_dashboard.baseline.application import create_baseline_app
from tailrace_services.voice_dashboard.generator import Scale, generate
from tailrace_services.voice_dashboard.keys import api_key
from tailrace_services.voice_dashboard.migrations import migrate
from tailrace_services.voice_dashboard.optimised import analytics, objects
from tailrace_services.voice_dashboard.optimised.application import create_app
from tailrace_services.voice_dashboard.provider.faults import FaultSettings
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings
from tailrace_services.voice_dashboard.provider.simulator import Simulator

ANCHOR = datetime(2026, 3, 31, 12, tzinfo=UTC)
"""The end of the generated year."""

PATIENCE = 60.0
"""Seconds that a data set may take."""

NOW = datetime(2026, 3, 31, 11, 47, 12, 345678, tzinfo=UTC)
"""When most tests ask: in the middle of an hour, on the last day of a month, with newer calls in the data."""


def key_of(user_id: int) -> str:
    """The API key of a generated user."""
    return api_key(1, user_id)


@dataclass
class Service(Implementation):
    """One implementation, running in this process on its own database.

    ``get`` and ``post`` speak for user 1 unless told otherwise.
    """

    clock: Clock
    as_user: int = 1
    headers: dict[str, str] = field(default_factory=dict)

    async def request(self, method: str, path: str, *, user: int | None = None, **more: Any) -> httpx2.Response:
        headers = {"x-api-key": key_of(user or self.as_user), **self.headers, **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        return await self.request("POST", path, json=body, **more)


@dataclass
class Provider:
    """The simulator, listening."""

    url: str
    simulator: Simulator
    key: str = "simulated"

    def settings(self, **more: Any) -> VoiceProviderSettings:
        return VoiceProviderSettings(base_url=self.url, api_key=SecretStr(self.key), **more)

    def misbehave(self, **faults: Any) -> None:
        self.simulator.faults.change(FaultSettings(**faults))


@pytest.fixture(scope="session")
def simulated_provider() -> Iterator[Provider]:
    """One listening simulator for the whole run, on a thread of its own: it is another service."""
    simulator = Simulator(api_key="simulated")
    config = uvicorn.Config(simulator, host="127.0.0.1", port=0, log_level="error", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Provider(f"http://127.0.0.1:{port}", simulator)
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def provider(simulated_provider: Provider) -> Iterator[Provider]:
    """The simulator, behaving until the test says otherwise."""
    simulated_provider.misbehave()
    yield simulated_provider
    simulated_provider.misbehave()


@pytest.fixture(scope="session")
def generated(originals: Originals) -> dict[str, str]:
    """For each implementation the name of a database with a small generated year, to make copies of."""

    async def fill(url: str) -> None:
        await migrate(url)
        await generate(url, Scale("endpoints", 4000, users=60), 1, ANCHOR)

    return generated_for_each(originals, "voice_dashboard_endpoints", fill, objects())


@pytest.fixture
def new_database(make_database: MakeDatabase, generated: dict[str, str]) -> Callable[[str], str]:
    """Makes copies of the generated database for an implementation, dropped afterwards."""
    return lambda implementation: make_database(generated[implementation])


StartService = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def start_service(
    new_database: Callable[[str], str], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> StartService:
    """Starts an implementation by its name, on a new copy of the data or on ``database``.

    No data set is left out because the machine is busy; a test that wants that sets another limit.
    """
    monkeypatch.setattr(analytics, "DATASET_TIMEOUT", PATIENCE)

    @asynccontextmanager
    async def start(
        name: str, *, now: datetime = NOW, database: str | None = None, **more: Any
    ) -> AsyncIterator[Service]:
        url = database or new_database(name)
        clock = FrozenClock(now)
        if name == "baseline":
            app = create_baseline_app(url, provider_url=provider.url, provider_key=provider.key, clock=clock)
        else:
            settings = Settings(database_url=SecretStr(url), **more)
            app = create_app(settings, provider=provider.settings(), clock=clock)
        async with client_of(app) as client:
            yield Service(name, url, app, client, clock)

    return start
