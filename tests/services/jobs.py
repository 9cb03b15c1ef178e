"""Jobs of a service, carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.jobs import Job, Jobs, Worker, install_tables, list_jobs

__all__ = ["carrying_out"]


async def nothing_left(database: Database) -> bool:
    """Whether all jobs are done."""
    return await list_jobs(database) == []


@asynccontextmanager
async def carrying_out(jobs: Jobs, url: str) -> AsyncIterator[tuple[Database, Callable[..., Awaitable[None]]]]:
    """The database with a worker, and what puts a job into its queue and waits until none is left, or until what else
    it is told to wait for."""
    await install_tables(url)
    database = Database(url)
    worker = Worker(jobs, database)

    async def carry_out(job: Job[[]], until: Callable[[Database], Awaitable[bool]] = nothing_left) -> None:
        async with database.session() as session:
            await job.enqueue(session)
            await session.commit()
        await wait_until(lambda: until(database), timeout=120)

    await worker.start()
    try:
        yield database, carry_out
    finally:
        await worker.stop()
        await database.aclose()
