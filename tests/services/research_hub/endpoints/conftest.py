"""A small generated hub, and both implementations on copies of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from tests.conftest import MakeDatabase, Originals
from tests.services.implementations import Implementation, client_of, generated_for_each

from tailrace.core.cursor import Cursors
from tailrace.settings import HttpSettings, Settings
from tailrace_services.clock import FrozenClock
from tailrace_services.research_hub.baseline.application import create_baseline_app
from tailrace_services.research_hub.generator import Scale, generate
from tailrace_services.research_hub.keys import api_key
from tailrace_services.research_hub.migrations import migrate
from tailrace_services.research_hub.optimised import objects
from tailrace_services.research_hub.optimised.application import create_app

ANCHOR = datetime(2026, 3, 31, 12, tzinfo=UTC)
"""The end of the generated year."""

NOW = datetime(2026, 3, 31, 12, 30, 12, 345678, tzinfo=UTC)
"""When tests ask."""

SECRET = "the same in both, so that their cursors are the same"


@dataclass
class Service(Implementation):
    """One implementation, running in this process on its own database."""

    async def get(self, path: str, *, user: int | None = None, **query: Any) -> httpx2.Response:
        """Read, as a user of the generated ones or as nobody."""
        return await self.client.get(path, params=query, headers=key_of(user))

    async def post(self, path: str, body: Any, *, user: int | None = None) -> httpx2.Response:
        """Write, as a user of the generated ones or as nobody."""
        return await self.client.post(path, json=body, headers=key_of(user))


def key_of(user: int | None) -> dict[str, str]:
    """The header that shows who asks."""
    return {} if user is None else {"x-api-key": api_key(1, user)}


@pytest.fixture(scope="session")
def generated(originals: Originals) -> dict[str, str]:
    """For each implementation the name of a database with a small generated year, to make copies of."""

    async def fill(url: str) -> None:
        await migrate(url)
        await generate(url, Scale("endpoints", 600, 12, 900), 1, ANCHOR)

    return generated_for_each(originals, "research_hub_endpoints", fill, objects())


@pytest.fixture
def new_database(make_database: MakeDatabase, generated: dict[str, str]) -> Callable[[str], str]:
    """Makes copies of the generated database for an implementation, dropped afterwards."""
    return lambda implementation: make_database(generated[implementation])


StartService = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def start_service(new_database: Callable[[str], str]) -> StartService:
    """Starts an implementation by its name, on a new copy of the data or on the database ``at``."""

    @asynccontextmanager
    async def start(name: str, *, at: str | None = None, **more: Any) -> AsyncIterator[Service]:
        url, clock = at or new_database(name), FrozenClock(NOW)
        if name == "baseline":
            app = create_baseline_app(url, clock=clock, cursors=Cursors([SECRET.encode()]), **more)
        else:
            http = HttpSettings(cursor_secrets=[SecretStr(SECRET)])
            own = {"least_similarity": more.pop("least_similarity")} if "least_similarity" in more else {}
            app = create_app(Settings(database_url=SecretStr(url), http=http, **more), clock=clock, **own)
        async with client_of(app) as client:
            yield Service(name, url, app, client)

    return start
