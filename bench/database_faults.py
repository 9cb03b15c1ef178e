"""What clients notice of a line to the database that breaks: Call Coach's five tools, as born and on Tailrace.

One in ten round trips ends with both ends of its connection cut off, before the database has heard of it or after it
has answered. Ten clients at once ask each implementation for searches, analyses (half of them forced anew, which
writes), comparisons and opportunities, no limits on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import uvloop
from fastapi import FastAPI
from pydantic import SecretStr

from bench import Measurement
from bench.arena import PROVE_TIMEOUT, failures, seated, told
from bench.asking import HOST
from bench.loopback import SERVERS
from bench.session import Session
from tailrace.embedded import PostgresServer
from tailrace.schema import apply
from tailrace.settings import RateLimitSettings, Settings
from tailrace.testing.breaking_line import BreakingLine
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import LoadResult, closed_loop
from tailrace_services.call_coach.baseline.application import create_baseline_app
from tailrace_services.call_coach.generator import Scale, generate
from tailrace_services.call_coach.keys import api_key
from tailrace_services.call_coach.migrations import migrate
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.optimised import objects
from tailrace_services.call_coach.optimised.application import create_app
from tailrace_services.clock import FrozenClock

__all__ = ["measure"]

GROUP = "database faults"
BORN, FAST = "as born", "on Tailrace"
FAULTS = 0.1
USERS = 10
SECONDS, QUICK_SECONDS = 120.0, 1.0
TIMEOUT = 60.0
SEED = 1
END = datetime(2026, 3, 31, 12, tzinfo=UTC)
"""When the generated year ends, and when questions are asked."""
DATA = Scale("faults", 200, 4000, reps=6, opportunities=40)
TEXTS = ("discount", "pricing security", "dunning", '"annual contract"')


def measure(session: Session) -> list[Measurement]:
    """Both implementations, one after the other.

    Raises:
        NotWorkingError: one does not start.
    """
    seconds = QUICK_SECONDS if session.quick else SECONDS
    advance = session.progress(GROUP, 3)
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o711)  # the server's user is another one
        with PostgresServer(folder / "postgres", settings={"fsync": "off"}) as server:
            asyncio.run(_fill(server))
            advance()
            rows = []
            for name in (BORN, FAST):
                rows += uvloop.run(_measured(name, server.url(_database(name)), seconds))
                advance()
            return rows


def _database(name: str) -> str:
    return name.replace(" ", "_").lower()


async def _fill(server: PostgresServer) -> None:
    await asyncio.to_thread(server.create_database, _database(BORN))
    await migrate(server.url(_database(BORN)))
    await generate(server.url(_database(BORN)), DATA, SEED, END)
    await asyncio.to_thread(server.create_database, _database(FAST), template=_database(BORN))
    await apply(server.url(_database(FAST)), objects())


async def _measured(name: str, url: str, seconds: float) -> list[Measurement]:
    port = urlsplit(url).port
    assert port is not None
    async with (
        BreakingLine(port, 0.0, SEED) as line,
        _served(name, url.replace(f":{port}/", f":{line.port}/")) as client,
    ):
        line.faults = FAULTS
        draw = Random(SEED)
        result = await closed_loop(client, lambda _user, _turn: _question(draw), users=USERS, duration=seconds)
        line.faults = 0.0
        return _rows(name, result, line)


@asynccontextmanager
async def _served(name: str, url: str) -> AsyncIterator[Connections]:
    async with AsyncExitStack() as stack:
        pipe = stack.enter_context(seated(_serve, name, url))
        port, _ = await asyncio.to_thread(told, pipe, name, PROVE_TIMEOUT)
        client = await stack.enter_async_context(Connections(f"http://{HOST}:{port}", timeout=TIMEOUT))
        async with asyncio.timeout(TIMEOUT):
            while (await client.exchange(Request("ready", "/openapi.json"))).error:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        yield client


def _question(draw: Random) -> Request:
    period = {"first_day": f"2026-01-{draw.randint(1, 28):02}", "last_day": f"2026-03-{draw.randint(1, 28):02}"}
    whose = {"rep_email": f"rep000{draw.randint(1, 6)}@tailrace.example", "period": period}
    search = {"limit": draw.randint(1, 50), "text": draw.choice(TEXTS), "total": draw.choice(("none", "exact"))}
    tool, asked = draw.choice(
        [
            ("analyze_call", {"call_id": draw.randint(1, 200), "force": draw.random() < 0.5}),
            ("search_calls", search),
            ("analyze_opportunity", {"opportunity_id": draw.randint(1, 40)}),
            ("get_rep_insights", whose),
            ("get_learning_insights", {**whose, "focus_area": draw.choice(DIMENSIONS)}),
        ]
    )
    headers = {"content-type": "application/json", "x-api-key": api_key(SEED, 1)}
    return Request(tool, f"/api/v1/tools/{tool}", "POST", headers, json.dumps(asked).encode())


def _rows(name: str, result: LoadResult, line: BreakingLine) -> list[Measurement]:
    total = result.total()
    figures = total.summary()
    failed = total.requests - total.statuses[200]
    row = partial(Measurement, GROUP, name)
    rows = [
        row("requests", total.requests, ""),
        row("failed", failed, "", failed / total.requests),
        row("round trips", line.trips, ""),
        row("round trips broken", line.broken, "", line.broken / line.trips),
    ]
    if figures is not None:
        rows += [row("p50", figures.p50 * 1000, "ms"), row("p95", figures.p95 * 1000, "ms")]
    return rows


# --- in the server's process ------------------------------------------------------------------------------------------


def _application(name: str, url: str) -> FastAPI:
    settings = Settings(database_url=SecretStr(url), rate_limit=RateLimitSettings(enabled=False))
    if name == BORN:
        return create_baseline_app(url, clock=FrozenClock(END))
    return create_app(settings, clock=FrozenClock(END))


def _serve(pipe: Connection, name: str, url: str) -> None:
    logging.getLogger("tailrace").setLevel(logging.CRITICAL)  # that the line breaks is no news here

    async def run() -> None:
        await SERVERS["uvicorn"](pipe, _application(name, url))

    failures(pipe, run)
