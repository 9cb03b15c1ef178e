"""Jobs that leave marks, as a service declares them; and processes that do them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from tailrace.core.backoff import Backoff
from tailrace.db import Database
from tailrace.jobs import JobContext, Jobs, Retries, Worker
from tailrace.settings import JobsSettings

ROOT = Path(__file__).parents[3]
SOON = Backoff(base=0.001, cap=0.001)

jobs = Jobs()


async def leave(context: JobContext, mark: str) -> None:
    """A mark that stays, whatever becomes of the job."""
    async with context.database.session() as session:
        await session.execute(
            text("INSERT INTO marks (job, mark) VALUES (:job, :mark)"), {"job": context.id, "mark": mark}
        )
        await session.commit()


async def marks(database: Database) -> list[str]:
    """All marks, in order."""
    return [mark for (mark,) in await database.fetch(text("SELECT mark FROM marks ORDER BY id"))]


@jobs.job("mark")
async def mark(context: JobContext, *, mark: str) -> None:
    """Leave a mark."""
    await leave(context, mark)


@jobs.job("first-hangs")
async def first_hangs(context: JobContext) -> None:
    """Say which process it is; then hang, unless another attempt did before."""
    await leave(context, f"pid {os.getpid()}")
    if context.attempt == 1:
        await asyncio.Event().wait()
    await leave(context, "done")


@jobs.job("ends-its-process", retries=Retries(attempts=1))
async def ends_its_process(context: JobContext) -> None:
    """Whoever does it dies."""
    await leave(context, f"attempt {context.attempt}")
    os._exit(9)


@jobs.job("each-second", schedule="* * * * * *", queue="schedules")
async def each_second(context: JobContext) -> None:
    """Say for when it was due."""
    assert context.tick is not None
    await leave(context, str(int(context.tick.timestamp())))


@asynccontextmanager
async def working(database: Database, jobs: Jobs, *, drain: float = 30.0, **settings: object) -> AsyncIterator[Worker]:
    """A worker in this process."""
    chosen = {"poll_interval": 0.1, "drain": drain, **settings}
    worker = Worker(jobs, database, settings=JobsSettings.model_validate(chosen))
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


@asynccontextmanager
async def process(url: str, **settings: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """``tailrace jobs work``, working."""
    chosen = {f"TAILRACE_JOBS__{name.upper()}": json.dumps(value) for name, value in settings.items()}
    environment = {**os.environ, "TAILRACE_DATABASE_URL": url, **chosen}
    command = [sys.executable, "-m", "tailrace.cli", "jobs", "work", "--app", "tests.integration.jobs.work:jobs"]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert await running.stdout.readline() == b"working\n"
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
