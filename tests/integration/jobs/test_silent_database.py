"""An application whose database falls silent: its clients are told so, and everything goes on by itself afterwards."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from urllib.parse import urlsplit

import asyncpg
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from tests.unit.asgi.driver import Reply, ask
from tests.waiting import wait_until

from tailrace import Tailrace
from tailrace.fastapi.dependencies import SessionDependency
from tailrace.jobs import JobContext, Jobs
from tailrace.settings import DatabaseSettings, JobsSettings, Settings
from tailrace.testing.line import Line

SILENT = 60.0
"""Seconds in which whoever asks a silent database must have an answer."""


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_clients_are_told_and_background_work_goes_on(queue_url: str, driver: str) -> None:
    """503 with Retry-After for reads and writes; then requests, what keeps answers fresh, and jobs, all as before."""
    connection = await asyncpg.connect(queue_url)
    await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
    await connection.close()
    async with Line(urlsplit(queue_url).port or 0) as line:
        address = urlsplit(queue_url)
        url = address._replace(scheme=driver, netloc=f"{address.username}:{address.password}@127.0.0.1:{line.port}")
        app, jobs, done = FastAPI(), Jobs(), list[int]()
        tailrace = Tailrace(
            app,
            Settings(
                database_url=SecretStr(url.geturl()),
                database=DatabaseSettings(pool_size=2, max_overflow=0, answer_timeout=1, connect_timeout=1),
                jobs=JobsSettings(poll_interval=0.2),
            ),
            jobs=jobs,
        )

        @jobs.job("note")
        async def note(context: JobContext, *, number: int) -> None:
            done.append(number)

        @app.get("/read")
        async def read(session: SessionDependency) -> int:
            return int((await session.execute(text("SELECT 1"))).scalar_one())

        @app.post("/write")
        async def write(session: SessionDependency) -> None:
            await note.enqueue(session, number=len(done) + 1)
            await session.commit()

        async def asked(method: str, path: str) -> Reply:
            return await asyncio.wait_for(ask(app, path, method=method), SILENT)

        async def everything_works(number: int) -> None:
            assert tailrace.freshness is not None
            await wait_until(tailrace.freshness.trusted)
            assert (await asked("GET", "/read")).status == 200
            assert (await asked("POST", "/write")).status == 200
            await wait_until(lambda: done == list(range(1, number + 1)))

        async with tailrace.running():
            assert tailrace.freshness is not None
            assert tailrace.database is not None
            await everything_works(1)
            line.silent = True
            replies = await asyncio.gather(asked("GET", "/read"), asked("POST", "/write"))
            for reply in replies:
                assert reply.status == 503
                assert reply.headers[b"retry-after"] == b"1"
                assert json.loads(reply.body)["code"] in {"database_unavailable", "pool_timeout"}
            await wait_until(lambda: not tailrace.freshness.trusted())
            assert tailrace.database.pool_state().in_use == 0
            line.silent = False
            await wait_until(tailrace.freshness.trusted)
            await everything_works(2)
