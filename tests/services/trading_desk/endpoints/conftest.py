"""A small generated desk, and both implementations on copies of it."""

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
from tests.services.trading_desk.endpoints.documents import load

from tailrace.core.cursor import Cursors
from tailrace.settings import HttpSettings, Settings
from tailrace_services.clock import FrozenClock
from tailrace_services.trading_desk.answers.options import AnswerOptions
from tailrace_services.trading_desk.baseline.application import create_baseline_app
from tailrace_services.trading_desk.generator import Scale, generate
from tailrace_services.trading_desk.keys import api_key
from tailrace_services.trading_desk.migrations import migrate
from tailrace_services.trading_desk.optimised import objects
from tailrace_services.trading_desk.optimised.application import create_app

ANCHOR = datetime(2026, 3, 31, 12, tzinfo=UTC)
"""The end of the generated year."""

NOW = datetime(2026, 3, 31, 12, 30, 12, 345678, tzinfo=UTC)
"""When tests ask."""

SECRET = "the same in both, so that their cursors are the same"


@dataclass
class Service(Implementation):
    """One implementation, running in this process on its own database."""

    async def ask(
        self, method: str, path: str, *, body: Any = None, trader: int | None = 1, **query: Any
    ) -> httpx2.Response:
        """Ask as a trader of the generated ones, or as nobody."""
        headers = {} if trader is None else {"x-api-key": api_key(1, trader)}
        return await self.client.request(method, path, params=query, json=body, headers=headers)

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        """Read."""
        return await self.ask("GET", path, **query)

    async def post(self, body: Any, **more: Any) -> httpx2.Response:
        """Write an item."""
        return await self.ask("POST", "/api/items", body=body, **more)


@pytest.fixture(scope="session")
def generated(originals: Originals) -> dict[str, str]:
    """For each implementation the name of a database with a small generated year, to make copies of."""

    async def fill(url: str) -> None:
        await migrate(url)
        await generate(url, Scale("endpoints", 900, 8, 4_000), 1, ANCHOR)

    return generated_for_each(originals, "trading_desk_endpoints", fill, objects())


@pytest.fixture
def new_database(make_database: MakeDatabase, generated: dict[str, str]) -> Callable[[str], str]:
    """Makes copies of the generated database for an implementation, dropped afterwards."""
    return lambda implementation: make_database(generated[implementation])


@pytest.fixture
async def loaded(new_database: Callable[[str], str]) -> str:
    """A database of the fast service's with documents."""
    url = new_database("optimised")
    await load(url)
    return url


StartService = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def start_service(new_database: Callable[[str], str]) -> StartService:
    """Starts an implementation by its name, on a new copy of the data or on the database ``at``."""

    @asynccontextmanager
    async def start(
        name: str, *, at: str | None = None, answers: AnswerOptions | None = None, **more: Any
    ) -> AsyncIterator[Service]:
        url, clock = at or new_database(name), FrozenClock(NOW)
        if name == "baseline":
            app = create_baseline_app(url, clock=clock, cursors=Cursors([SECRET.encode()]), answers=answers)
        else:
            http = HttpSettings(cursor_secrets=[SecretStr(SECRET)])
            app = create_app(Settings(database_url=SecretStr(url), http=http, **more), clock=clock, answers=answers)
        async with client_of(app) as client:
            yield Service(name, url, app, client)

    return start
