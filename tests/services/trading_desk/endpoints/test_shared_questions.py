"""Questions that one process was asked, known to another: two processes of the service, one database, one Valkey."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from tests.services.trading_desk.endpoints.conftest import NOW
from tests.services.trading_desk.endpoints.documents import TEXTS, load
from tests.waiting import wait_until

from tailrace.embedded import PostgresServer
from tailrace.verify.client import Connections, Request
from tailrace_services.prove.processes import ServerProcess
from tailrace_services.prove.stage import environment

BASE = "shared_questions"


async def ask(url: str, question: str) -> tuple[str, str]:
    """How a question was answered, and with what."""
    body = json.dumps({"q": question}).encode()
    async with Connections(url, timeout=60.0) as connections:
        answer = await connections.send(
            Request("ask", "/query", "POST", {"Content-Type": "application/json"}, body),
        )
    assert answer.status == 200, answer.body
    return answer.header("semantic-cache") or "", answer.json()["answer"]


async def settled(url: str) -> None:
    """Return once the process keeps answers: it has seen that the documents were loaded."""

    async def keeps() -> bool:
        return (await ask(url, "What do brokers send?"))[0] == "exact"

    await wait_until(keeps, timeout=60.0)


@asynccontextmanager
async def two_processes(variables: dict[str, str], logs: Path) -> AsyncIterator[list[str]]:
    """Their addresses."""
    app = "tailrace_services.trading_desk:app"
    servers = [ServerProcess(name, app, variables, logs) for name in ("one", "other")]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield [server.url for server in servers]
    finally:
        await asyncio.gather(*(server.stop() for server in servers))


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
async def test_one_setting_shares_what_was_asked(
    postgres: PostgresServer, valkey_url: str, generated: dict[str, str], tmp_path: Path, *, shared: bool
) -> None:
    """Any process finds what is like a question that another answered; a write to the documents ends it for both.

    Without the setting a process knows its own questions only, and what is asked in the same words.
    """
    postgres.create_database(f"{BASE}_trading_desk", template=generated["optimised"])
    url = postgres.url(f"{BASE}_trading_desk")
    try:
        await load(url)
        variables = {
            **environment(postgres.url(BASE), valkey_url, NOW.isoformat(), f"{BASE}-{shared}"),
            "TAILRACE_SERVICES_DEFAULT_DOCUMENTS": "false",
            "TAILRACE_SERVICES_ANSWER_QUESTIONS_SHARED": str(shared).lower(),
        }
        async with two_processes(variables, tmp_path) as (one, other):
            for server in (one, other):
                await settled(server)
            first = await ask(one, "How do I roll a position?")
            assert first[0] == "miss"
            assert await ask(other, "How do I roll a position?") == ("exact", first[1])
            like = await ask(other, "how can I roll a position please")
            assert like == ("similar" if shared else "miss", first[1])
            assert (await ask(one, "How do I not roll a position?"))[0] == "miss"
            await load(url, {**TEXTS, "rolling": "# Rolling\n\nRoll a position by asking the execution desk.\n"})

            async def is_new() -> bool:
                return (await ask(other, "how would I roll a position please"))[1].startswith("Roll a position by")

            await wait_until(is_new, timeout=30.0)
        connection = await asyncpg.connect(url)
        made = await connection.fetchval("SELECT to_regclass('semantic.questions') IS NOT NULL")
        await connection.close()
        assert made is shared
    finally:
        postgres.drop_database(f"{BASE}_trading_desk")
