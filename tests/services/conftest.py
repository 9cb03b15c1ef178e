"""Implementations of a service under test: each folder's ``start_service`` starts them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing

import pytest
from tests.conftest import MakeDatabase, Originals
from tests.services.chat_server import ChatServer
from tests.services.implementations import IMPLEMENTATIONS, Implementation

from tailrace_services.data.service import ServiceData

Start = Callable[..., AbstractAsyncContextManager[Implementation]]
MakeTables = Callable[[ServiceData], str]
"""Makes a database that has a service's tables and no rows; its address."""


@pytest.fixture(scope="session")
def _chat_server() -> Iterator[ChatServer]:
    with closing(ChatServer()) as server:
        yield server


@pytest.fixture
def chat_server(_chat_server: ChatServer) -> ChatServer:
    """A language model's endpoint, with nothing asked yet."""
    _chat_server.requests.clear()
    return _chat_server


@pytest.fixture
def make_tables(make_database: MakeDatabase, originals: Originals) -> MakeTables:
    """Makes databases with tables, dropped afterwards."""

    def make(data: ServiceData) -> str:
        name = f"{data.service}_tables"
        originals.url(name, data.migrations.migrate)
        return make_database(name)

    return make


@pytest.fixture(params=IMPLEMENTATIONS)
async def service(request: pytest.FixtureRequest, start_service: Start) -> AsyncIterator[Implementation]:
    """Each implementation in turn."""
    async with start_service(request.param) as started:
        yield started


@pytest.fixture
async def optimised(start_service: Start) -> AsyncIterator[Implementation]:
    """The optimised implementation."""
    async with start_service("optimised") as started:
        yield started


@pytest.fixture
async def pair(start_service: Start) -> AsyncIterator[tuple[Implementation, Implementation]]:
    """Both implementations on one database, so that they have the same to say."""
    async with start_service("optimised") as fast, start_service("baseline", at=fast.database_url) as slow:
        yield slow, fast
