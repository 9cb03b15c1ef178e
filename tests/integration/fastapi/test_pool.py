"""A pool that runs dry answers quickly, and says who holds its connections."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from tests.unit.asgi.driver import Reply, ask
from tests.waiting import wait_until

from tailrace import Tailrace
from tailrace.events import ConnectionHeld, Event
from tailrace.fastapi.dependencies import SessionDependency
from tailrace.settings import DatabaseSettings, FreshnessSettings, Settings
from tailrace.upstream import UpstreamClient

ONE = DatabaseSettings(pool_size=1, max_overflow=0, pool_timeout=0.3, hold_limit=0.4)


class Service:
    """An application with one connection, and handlers that hold it in every way."""

    def __init__(self, url: str, database: DatabaseSettings = ONE, neighbour: str = "") -> None:
        self.events: list[Event] = []
        self.app = FastAPI()
        self.kept: list[Any] = []
        self.let_go = asyncio.Event()
        settings = Settings(
            database_url=SecretStr(url), database=database, freshness=FreshnessSettings(bound=5, token_ttl=10)
        )
        self.tailrace = tailrace = Tailrace(self.app, settings, observer=self.events.append)

        @self.app.get("/read")
        async def read(session: SessionDependency) -> int:
            return int((await session.execute(text("SELECT 1"))).scalar_one())

        @self.app.get("/hold")
        async def hold(session: SessionDependency) -> None:
            await session.execute(text("SELECT 1"))
            await self.let_go.wait()

        @self.app.get("/leak")
        async def leak() -> None:
            assert tailrace.database is not None
            session = tailrace.database._sessions()
            await session.execute(text("SELECT 1"))  # taken here
            self.kept.append(session)

        @self.app.get("/call")
        async def call(session: SessionDependency) -> None:
            await session.execute(text("SELECT 1"))
            async with UpstreamClient("neighbour", neighbour, observer=tailrace.observer) as client:
                await client.request("GET", "/readyz")

        @self.app.get("/call-between")
        async def call_between(session: SessionDependency) -> None:
            await session.execute(text("SELECT 1"))
            await session.commit()
            async with UpstreamClient("neighbour", neighbour, observer=tailrace.observer) as client:
                await client.request("GET", "/readyz")
            await session.execute(text("SELECT 1"))

    async def get(self, path: str, **headers: str) -> Reply:
        return await ask(
            self.app,
            path,
            headers=[(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        )

    def findings(self, kind: str) -> list[ConnectionHeld]:
        return [event for event in self.events if isinstance(event, ConnectionHeld) and event.kind == kind]


@asynccontextmanager
async def served(*args: Any) -> AsyncIterator[Service]:
    service = Service(*args)
    async with service.tailrace.running():
        yield service
        service.let_go.set()
        for session in service.kept:
            await session.close()


def line(marker: str) -> int:
    """Where this file says ``marker``."""
    with open(__file__) as source:
        return next(number for number, text in enumerate(source, 1) if marker in text)


async def test_a_dry_pool_is_a_503_that_says_when_to_come_again(database_url: str) -> None:
    """Within ``pool_timeout``, counted, and over as soon as a connection is free again."""
    async with served(database_url) as service:
        holding = asyncio.create_task(service.get("/hold"))
        await wait_until(lambda: service.tailrace.database.engine.pool.checkedout() == 1)
        reply = await service.get("/read")
        assert reply.status == 503
        assert int(reply.headers[b"retry-after"]) >= 1
        assert json.loads(reply.body)["code"] == "pool_timeout"
        assert service.tailrace.metrics["db.client.connection.timeouts"].series[("default",)] == [1]
        service.let_go.set()
        assert (await holding).status == 200
        assert (await service.get("/read")).status == 200


async def test_nobody_waits_longer_than_its_client(database_url: str) -> None:
    """A pool that would have its callers wait for a minute refuses one that has 0.2 s at once."""
    patient = ONE.model_copy(update={"pool_timeout": 60.0})
    async with served(database_url, patient) as service:
        holding = asyncio.create_task(service.get("/hold"))
        await wait_until(lambda: service.tailrace.database.engine.pool.checkedout() == 1)
        behind = asyncio.create_task(service.get("/read"))
        await wait_until(lambda: service.tailrace.database.engine.pool.waiting == 1)
        async with asyncio.timeout(20):
            assert (await service.get("/read", x_request_timeout="0.2")).status == 503
        assert not behind.done()  # its own patience is untouched
        service.let_go.set()
        assert ((await behind).status, (await holding).status) == (200, 200)


async def test_a_dry_pool_is_not_tried_again(database_url: str) -> None:
    """A transaction that found no connection is not repeated: the others are waiting too."""
    async with served(database_url) as service:
        database = service.tailrace.database
        assert database is not None
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            with pytest.raises(Exception, match="became free in time"):
                await database.run(lambda s: s.execute(text("SELECT 1")))
        assert service.tailrace.metrics["db.client.connection.timeouts"].series[("default",)] == [1]


async def test_a_connection_that_outlives_its_request_is_reported_with_its_line(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, as event, metric and log, with the line that took it; one given back in time is not."""
    caplog.set_level(logging.WARNING, "tailrace.pool")
    async with served(database_url) as service:
        await service.get("/read")
        await service.get("/leak")
        await wait_until(lambda: bool(service.findings("leaked")))
        await wait_until(lambda: bool(service.findings("long")))
        (found,) = service.findings("leaked")
        assert found.site == f"tests/integration/fastapi/test_pool.py:{line('# taken here')}"
        series = service.tailrace.metrics["tailrace.db.connection.findings"].series
        assert series[("default", "leaked", found.site)] == [1]
        assert f"the connection taken at {found.site} was not given back" in caplog.text


async def test_a_connection_held_for_long_is_reported(database_url: str) -> None:
    """While its request still runs."""
    async with served(database_url) as service:
        holding = asyncio.create_task(service.get("/hold"))
        await wait_until(lambda: bool(service.findings("long")))
        assert not service.findings("leaked")
        service.let_go.set()
        await holding


async def test_a_call_to_another_service_while_a_connection_is_held_is_reported(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the line that took it; one that was given back before is nobody's concern, nor are others'."""
    caplog.set_level(logging.WARNING, "tailrace.pool")
    async with neighbour() as address:
        roomy = ONE.model_copy(update={"pool_size": 3})
        async with served(database_url, roomy, address) as service:
            other = asyncio.create_task(service.get("/hold"))
            await wait_until(lambda: service.tailrace.database.engine.pool.checkedout() == 1)
            assert (await service.get("/call-between")).status == 200
            assert service.findings("upstream") == []
            assert (await service.get("/call")).status == 200
            (found,) = service.findings("upstream")
            assert found.site.startswith("tests/integration/fastapi/test_pool.py:")
            assert f"the connection taken at {found.site} is held while neighbour is called" in caplog.text
            service.let_go.set()
            await other


@asynccontextmanager
async def neighbour() -> AsyncIterator[str]:
    """Another service, which answers anything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_nobody_who_does_not_watch_pays(database_url: str) -> None:
    """Without a limit there is no finding and no timer."""
    unwatched = ONE.model_copy(update={"hold_limit": None})
    async with served(database_url, unwatched) as service:
        assert service.tailrace.database is not None
        assert service.tailrace.database.holdings is None
        assert (await service.get("/read")).status == 200
