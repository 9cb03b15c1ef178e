"""The status of every part, each seen to fail by breaking it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from tests.waiting import wait_until

from tailrace import Tailrace
from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace.fastapi import PartStatus
from tailrace.jobs import install_tables
from tailrace.settings import DatabaseSettings, HttpSettings, Settings, ValkeySettings
from tailrace.testing.line import Line

TOKEN = "the admin's"
PARTS = {"database", "pool", "jobs", "store", "streams", "relay"}


class Service:
    """An application on lines to real servers that can be broken."""

    def __init__(self, database_url: str, valkey_url: str, **database: Any) -> None:
        self.app = FastAPI()
        self.tailrace = Tailrace(
            self.app,
            Settings(
                database_url=SecretStr(database_url),
                valkey_url=SecretStr(valkey_url),
                http=HttpSettings(admin_token=SecretStr(TOKEN)),
                database=DatabaseSettings(retry_time=0, pool_size=2, max_overflow=0, connect_timeout=1, **database),
                valkey=ValkeySettings(reconnect_max_delay=0.05),
            ),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(self.app)
        client = httpx2.AsyncClient(transport=transport, base_url="http://service")
        async with self.app.router.lifespan_context(self.app), client as self.client:
            yield self.client

    async def ask(self, token: str = TOKEN, accept: str = "*/*") -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}", "accept": accept}
        return await self.client.get("/monitoring/status", headers=headers)

    async def parts(self) -> dict[str, Any]:
        return dict((await self.ask()).json()["parts"])

    async def until(self, **expected: str) -> None:
        """Wait until just the parts that are named are not up, and in that state."""

        async def so() -> bool:
            return {n: p["status"] for n, p in (await self.parts()).items() if p["status"] != "up"} == expected

        await wait_until(so, 60)


async def install(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
    await connection.close()
    await install_tables(url)


@pytest.fixture
async def service(database_url: str, valkey_url: str) -> AsyncIterator[Service]:
    """With everything up."""
    await install(database_url)
    made = Service(database_url, valkey_url)
    async with made.running():
        await made.until()
        yield made


async def test_everybody_is_told_whether_all_is_well_and_operators_what(service: Service) -> None:
    """Strangers get one word; operators each part; a browser a page, in which nothing of it is left out."""
    assert set(await service.parts()) == PARTS
    stranger = await service.ask("another's")
    assert (stranger.status_code, stranger.json()) == (200, {"status": "up"})
    assert stranger.headers["cache-control"] == "no-store"
    page = await service.ask(accept="text/html,*/*;q=0.8")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert all(f"<td>{part}</td>" in page.text for part in PARTS)
    public = (await service.ask("another's", accept="text/html")).text
    assert "Status: <span" in public
    assert "<td>" not in public


async def test_own_parts_are_asked_too_and_none_hides_the_others(service: Service) -> None:
    """What a part raises is that part's; markup in what it says is shown as text."""
    service.tailrace.status.add("mine", lambda: _said(PartStatus("degraded", {"why": "<b>", "it_is_so": True})))
    service.tailrace.status.add("broken", _broken)
    service.tailrace.status.add("none", lambda: _said(None))
    await service.until(mine="degraded", broken="down")
    assert (await service.parts())["broken"]["problem"] == "ZeroDivisionError"
    assert "why: &lt;b&gt;, it is so: yes" in (await service.ask(accept="text/html")).text
    assert (await service.ask("another's")).json() == {"status": "degraded"}


async def _said(part: PartStatus | None) -> PartStatus | None:
    return part


async def _broken() -> PartStatus:
    raise ZeroDivisionError


async def test_store_and_streams_are_down_with_the_store(service: Service, valkey: ValkeyServer) -> None:
    """So is the relay, which stamps what is written there; all come back with it."""
    valkey.stop()
    await service.until(store="down", streams="down", relay="down")
    valkey.start()
    await service.until()


async def test_database_and_what_is_in_it_are_down_with_the_database(
    service: Service, postgres: PostgresServer
) -> None:
    """And come back with it; nothing that the error says gives an address or a password away to strangers."""
    postgres.kill()
    await service.until(database="down", jobs="down", relay="down")
    assert (await service.ask("another's")).json() == {"status": "degraded"}
    postgres.start()
    await service.until()


async def test_full_pool_is_said_and_not_waited_for(service: Service) -> None:
    """What would need a connection is not asked."""
    database = service.tailrace.database
    assert database is not None
    async with database.engine.connect(), database.engine.connect():
        await service.until(pool="degraded", database="degraded", jobs="degraded")
        assert (await service.parts())["pool"] == {"status": "degraded", "in_use": 2, "limit": 2, "waiting": 0}
    await service.until()


async def test_dead_and_late_jobs_are_said(service: Service, database_url: str) -> None:
    """Whoever declared them."""
    connection = await asyncpg.connect(database_url)
    put = (
        "INSERT INTO tailrace_jobs.pgqueuer (priority, entrypoint, status, execute_after, heartbeat, created, updated) "
        "VALUES (0, 'repair', $1, now() - $2 * interval '1 second', now(), now(), now())"
    )
    try:
        await connection.execute(put, "queued", 1000.0)
        await service.until(jobs="degraded")
        assert (await service.parts())["jobs"]["oldest_seconds"] >= 1000
        await connection.execute("DELETE FROM tailrace_jobs.pgqueuer")
        await service.until()
        await connection.execute(put, "failed", 1.0)
        await service.until(jobs="degraded")
        assert (await service.parts())["jobs"]["dead"] == 1
    finally:
        await connection.close()


async def test_silent_database_is_down_and_does_not_hold_the_page(
    database_url: str, valkey_url: str, postgres: PostgresServer
) -> None:
    """A part that does not answer is given up; the others are told."""
    await install(database_url)
    async with Line(postgres.port) as line:
        url = database_url.replace(f":{postgres.port}/", f":{line.port}/")
        service = Service(url, valkey_url)
        async with service.running():
            await service.until()
            line.silent = True
            await service.until(database="down", jobs="down", relay="down")
            assert (await service.parts())["database"]["problem"] == "no answer within 2 s"
            line.silent = False
            await service.until()


async def test_however_many_ask_the_parts_are_asked_once(service: Service) -> None:
    """What was said is told again for a moment."""
    asked = 0

    async def count() -> PartStatus:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return PartStatus("up")

    service.tailrace.status.add("counted", count)
    await wait_until(lambda: _shows(service, "counted"))
    asked = 0
    states = await asyncio.gather(*[service.tailrace.status.parts() for _ in range(50)])
    assert asked <= 1
    assert all(state == states[0] for state in states)


async def _shows(service: Service, name: str) -> bool:
    return name in await service.parts()
