"""An analysis is made once, on however many processes it is asked for: real servers, a model that takes its time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import asyncpg
import httpx2
import pytest
from tests.services.chat_server import ChatServer, completion
from tests.waiting import wait_until

from tailrace.embedded import PostgresServer
from tailrace_services.call_coach.keys import api_key
from tailrace_services.call_coach.model import DIMENSIONS

JUDGED = {name: {"score": 70, "strengths": ["asked"], "improvements": [], "turns": [1]} for name in DIMENSIONS}
ASKED = 50
"""Requests at once on each process."""


class Server:
    """The optimised service in a process of its own, as the environment configures it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "uvicorn", "tailrace_services.call_coach:app", "--log-level", "warning"]
        self.process = subprocess.Popen(
            [*command, "--fd", str(descriptor)], pass_fds=[descriptor], env=os.environ | environment
        )
        base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        limits = httpx2.Limits(max_connections=2 * ASKED)
        self.client = httpx2.AsyncClient(base_url=base, timeout=120, limits=limits)

    async def ready(self) -> bool:
        return (await self.client.get("/readyz")).status_code == 200

    async def analyze(self, **question: Any) -> httpx2.Response:
        """Ask for the analysis of call 7, as a known caller."""
        body = {"call_id": 7, **question}
        return await self.client.post("/api/v1/tools/analyze_call", json=body, headers={"x-api-key": api_key(1, 1)})

    async def works_on(self, count: int) -> bool:
        """Whether so many requests are being answered."""
        metrics = (await self.client.get("/metrics")).text
        found = re.search(r"^tailrace_shedding_admitted (\d+)$", metrics, re.MULTILINE)
        assert found is not None
        return int(found[1]) >= count

    def kill(self) -> None:
        """No word to anybody."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._listener.close()

    async def stop(self) -> None:
        """In order."""
        await self.client.aclose()
        self.process.terminate()
        await asyncio.to_thread(self.process.wait)
        self._listener.close()


@pytest.fixture
def model() -> Iterator[ChatServer]:
    """A model that gives one judgement, whenever its gate is open."""
    with closing(ChatServer()) as server:
        server.answers = [completion(JUDGED)]
        yield server


@pytest.fixture
def served_database(postgres: PostgresServer, generated: dict[str, str]) -> Iterator[str]:
    """The name before which the service puts its own, of a copy of the generated data."""
    postgres.create_database("once_call_coach", template=generated["optimised"])
    yield "once"
    postgres.drop_database("once_call_coach")


@asynccontextmanager
async def two_servers(postgres: PostgresServer, name: str, model: ChatServer) -> AsyncIterator[tuple[Server, Server]]:
    """Both ready; they share the database and nothing else."""
    environment = {
        "TAILRACE_DATABASE_URL": postgres.url(name),
        "TAILRACE_RATE_LIMIT__ENABLED": "false",
        # Nobody waits in line: who asks has begun to.
        "TAILRACE_SHEDDING__INITIAL": str(4 * ASKED),
        "TAILRACE_SHEDDING__MINIMUM": str(4 * ASKED),
        "TAILRACE_SERVICES_CHAT_URL": model.url,
        "TAILRACE_SERVICES_CHAT_MODEL": "judge",
    }
    servers = Server(environment), Server(environment)
    try:
        for server in servers:
            await wait_until(server.ready, 120)
        yield servers
    finally:
        model.gate.set()  # who still waits for it would keep a server from stopping
        for server in servers:
            await server.stop()


async def rows(postgres: PostgresServer, name: str) -> tuple[int, int, int]:
    """How many analyses, sessions of this rubric, and leases there are."""
    connection = await asyncpg.connect(postgres.url(f"{name}_call_coach"))
    try:
        found = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM call_analyses), (SELECT count(*) FROM analysis_leases), "
            "(SELECT count(*) FROM coaching_sessions WHERE rubric_version = 'chat-completions-1/judge')"
        )
        return found[0], found[2], found[1]
    finally:
        await connection.close()


async def contended(postgres: PostgresServer, name: str) -> bool:
    """Whether somebody else has asked for the lease in vain: PostgreSQL locks the row that it then does not change."""
    connection = await asyncpg.connect(postgres.url(f"{name}_call_coach"))
    try:
        return bool(await connection.fetchval("SELECT xmax::text <> '0' FROM analysis_leases"))
    finally:
        await connection.close()


async def test_a_hundred_at_once_on_two_processes(
    postgres: PostgresServer, served_database: str, model: ChatServer
) -> None:
    """Whoever asks while it is made waits for it: one question to the model, one row, one answer for all.

    Forced, it is made anew for those who ask at once, at most twice on each process: once for who asked before it was
    begun, and once for who asked after.
    """
    async with two_servers(postgres, served_database, model) as servers:
        model.gate.clear()
        asking = [asyncio.create_task(server.analyze()) for _ in range(ASKED) for server in servers]
        await wait_until(lambda: len(model.requests) >= 1, 60)
        await wait_until(lambda: contended(postgres, served_database), 60)
        assert await rows(postgres, served_database) == (0, 0, 1)
        model.gate.set()
        answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert json.loads(answers[0].content)["data"]["degraded"] is False
        assert len(model.requests) == 1
        assert await rows(postgres, served_database) == (1, 4, 0)
        for server in servers:
            assert (await server.analyze(dimensions=["discovery"])).status_code == 200
        assert len(model.requests) == 1

        for made in (2, 3):
            assert (await servers[made % 2].analyze(force=True)).status_code == 200
            assert len(model.requests) == made
        model.gate.clear()
        asking = [asyncio.create_task(server.analyze(force=True)) for _ in range(ASKED) for server in servers]
        for server in servers:
            await wait_until(lambda server=server: server.works_on(ASKED))  # type: ignore[misc]
            assert (await server.analyze()).status_code == 200  # it overtakes nobody, so all who came before it wait
        model.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
        assert 4 <= len(model.requests) <= 7
        assert await rows(postgres, served_database) == (1, 4, 0)


async def test_the_process_that_makes_it_is_killed(
    postgres: PostgresServer, served_database: str, model: ChatServer
) -> None:
    """Others wait for a process that is gone as long as its lease says, and then make the analysis themselves, once."""
    async with two_servers(postgres, served_database, model) as (first, second):
        model.gate.clear()
        doomed = asyncio.create_task(first.analyze())
        await wait_until(lambda: len(model.requests) == 1, 60)
        waiting = [asyncio.create_task(second.analyze()) for _ in range(ASKED)]
        await wait_until(lambda: contended(postgres, served_database), 60)
        first.kill()
        with pytest.raises(httpx2.TransportError):
            await doomed
        await wait_until(lambda: len(model.requests) == 2, 60)
        model.gate.set()
        answers = await asyncio.gather(*waiting)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len(model.requests) == 2
        assert await rows(postgres, served_database) == (1, 4, 0)
