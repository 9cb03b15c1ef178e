"""Transfers on two processes, by many clients at once, while servers are killed: each happens exactly once."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from random import Random

import asyncpg
import httpx2
import pytest
from tests.services.research_hub.endpoints.conftest import key_of
from tests.waiting import wait_until

from tailrace.embedded import PostgresServer
from tailrace_services.research_hub.tokens.reconciliation import reconcile

CLIENTS = 64
TRANSFERS = 8
"""Each client's, one after the other."""
KILLS = 3
USERS = range(2, 12)


class Server:
    """The optimised service in a process of its own."""

    def __init__(self, database_url: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "uvicorn", "tailrace_services.research_hub:app", "--log-level", "critical"]
        environment = {"TAILRACE_DATABASE_URL": database_url, "TAILRACE_RATE_LIMIT__ENABLED": "false"}
        self.process = subprocess.Popen(
            [*command, "--fd", str(descriptor)], pass_fds=[descriptor], env=os.environ | environment
        )
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def ready(self, client: httpx2.AsyncClient) -> None:
        async def answers() -> bool:
            return (await client.get(f"{self.url}/readyz")).status_code == 200

        await wait_until(answers, 120)

    def kill(self) -> None:
        """No word to anybody."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._listener.close()


class Crowd:
    """Clients who ask for each transfer until they are told what became of it, wherever a server still answers."""

    def __init__(self, client: httpx2.AsyncClient, servers: list[Server]) -> None:
        self.client = client
        self.servers = servers
        self.answers: dict[tuple[int, str], httpx2.Response] = {}
        self.asked: dict[tuple[int, str], dict[str, int]] = {}
        self.interrupted = 0

    async def work(self, number: int) -> None:
        random = Random(number)
        for turn in range(TRANSFERS):
            giver, taker = random.sample(USERS, 2)
            # Every third transfer has a twin under the same key, asked for at the same time.
            key = giver, f"{number}-{turn}"
            self.asked[key] = {"to_user_id": taker, "amount": random.choice([1, 2, 3, 10**6])}
            twins = 2 if turn % 3 == 0 else 1
            await asyncio.gather(*(self.until_answered(key, number + twin) for twin in range(twins)))

    async def until_answered(self, key: tuple[int, str], attempt: int) -> None:
        for place in itertools.count(attempt):
            response = await self.ask(key, self.servers[place % len(self.servers)])
            if response is not None and response.status_code < 500:
                earlier = self.answers.setdefault(key, response)
                assert response.status_code == earlier.status_code
                assert response.status_code != 201 or response.content == earlier.content
                return
            await asyncio.sleep(0.02)

    async def ask(self, key: tuple[int, str], server: Server) -> httpx2.Response | None:
        giver, name = key
        headers = key_of(giver) | {"Idempotency-Key": name}
        try:
            return await self.client.post(f"{server.url}/api/tokens/transfer", json=self.asked[key], headers=headers)
        except httpx2.TransportError:
            self.interrupted += 1
            return None


@pytest.fixture
def database(postgres: PostgresServer, generated: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The address that servers are given, and that of the service's own database."""
    postgres.create_database("crowd_research_hub", template=generated["optimised"])
    yield postgres.url("crowd"), postgres.url("crowd_research_hub")
    postgres.drop_database("crowd_research_hub")


async def movements(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM token_ledger"))
    finally:
        await connection.close()


async def test_killed_servers_neither_lose_nor_repeat_transfers(database: tuple[str, str]) -> None:
    """64 clients, two processes, one of them killed again and again: as many movements as were answered, no more.

    Every key is answered once and for all, to its twin too; nobody is below zero; and everything adds up.
    """
    served, own = database
    before = await movements(own)
    servers = [Server(served), Server(served)]
    try:
        async with httpx2.AsyncClient(timeout=120, limits=httpx2.Limits(max_connections=4 * CLIENTS)) as client:
            for server in servers:
                await server.ready(client)
            crowd = Crowd(client, servers)
            async with asyncio.TaskGroup() as working:
                for number in range(CLIENTS):
                    working.create_task(crowd.work(number))
                for kill in range(KILLS):
                    reached = (kill + 1) * CLIENTS * TRANSFERS // (KILLS + 1)
                    await wait_until(lambda reached=reached: len(crowd.answers) >= reached, 120)  # type: ignore[misc]
                    servers[kill % 2].kill()
                    servers[kill % 2] = Server(served)
                    await servers[kill % 2].ready(client)
            done = [key for key, answer in crowd.answers.items() if answer.status_code == 201]
            assert len(crowd.answers) == CLIENTS * TRANSFERS
            assert {answer.status_code for answer in crowd.answers.values()} == {201, 409}
            assert crowd.interrupted
            assert await movements(own) == before + len(done)
            assert len({crowd.answers[key].json()["id"] for key in done}) == len(done)
            for key in done[::7]:
                again = await crowd.ask(key, servers[0])
                assert again is not None
                assert (again.content, again.headers["idempotency-replayed"]) == (crowd.answers[key].content, "true")
            assert await movements(own) == before + len(done)
        found = await reconcile(own)
        assert found.agrees, list(found.lines())
        assert found.kept
    finally:
        for server in servers:
            server.kill()
