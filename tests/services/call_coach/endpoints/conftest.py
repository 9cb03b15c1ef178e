"""A small generated year of calls, and both implementations on copies of it."""

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

from tailrace.clock import Clock
from tailrace.settings import Settings
from tailrace_services.call_coach.baseline.application import create_baseline_app
from tailrace_services.call_coach.generator import Scale, generate
from tailrace_services.call_coach.keys import api_key
from tailrace_services.call_coach.migrations import migrate
from tailrace_services.call_coach.optimised import objects
from tailrace_services.call_coach.optimised.application import create_app
from tailrace_services.chat_endpoint import ChatSettings
from tailrace_services.clock import FrozenClock

ANCHOR = datetime(2026, 3, 31, 12, tzinfo=UTC)
"""The end of the generated year."""

NOW = datetime(2026, 3, 31, 11, 47, 12, 345678, tzinfo=UTC)
"""When tests ask."""


@dataclass
class Service(Implementation):
    """One implementation, running in this process on its own database."""

    clock: Clock

    async def ask(
        self, tool: str, *, caller: int | None = None, headers: dict[str, str] | None = None, **question: Any
    ) -> httpx2.Response:
        """Ask a tool of the first version, as a caller or as nobody in particular."""
        sent = dict(headers or {})
        if caller is not None:
            sent["x-api-key"] = api_key(1, caller)
        return await self.client.post(f"/api/v1/tools/{tool}", json=question, headers=sent)


@pytest.fixture(scope="session")
def generated(originals: Originals) -> dict[str, str]:
    """For each implementation the name of a database with a small generated year, to make copies of."""

    async def fill(url: str) -> None:
        await migrate(url)
        await generate(url, Scale("endpoints", 200, 4000, reps=6, opportunities=40), 1, ANCHOR)

    return generated_for_each(originals, "call_coach_endpoints", fill, objects())


@pytest.fixture
def new_database(make_database: MakeDatabase, generated: dict[str, str]) -> Callable[[str], str]:
    """Makes copies of the generated database for an implementation, dropped afterwards."""
    return lambda implementation: make_database(generated[implementation])


StartService = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def start_service(new_database: Callable[[str], str]) -> StartService:
    """Starts an implementation by its name, on a new copy of the data or on the database ``at``."""

    @asynccontextmanager
    async def start(
        name: str,
        *,
        now: datetime = NOW,
        at: str | None = None,
        chat: ChatSettings | None = None,
        **more: Any,
    ) -> AsyncIterator[Service]:
        url = at or new_database(name)
        clock = FrozenClock(now)
        if name == "baseline":
            app = create_baseline_app(url, chat=chat, clock=clock, **more)
        else:
            app = create_app(Settings(database_url=SecretStr(url), **more), chat=chat, clock=clock)
        async with client_of(app) as client:
            yield Service(name, url, app, client, clock)

    return start
