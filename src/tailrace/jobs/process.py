"""A worker in a process of its own, beside servers that do no jobs. Touches: the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.errors import SettingsError
from tailrace.events import Observer
from tailrace.jobs.declarations import Jobs
from tailrace.jobs.worker import Worker
from tailrace.settings import Settings

__all__ = ["working"]


@asynccontextmanager
async def working(
    jobs: Jobs, settings: Settings, *, clock: Clock | None = None, observer: Observer | None = None
) -> AsyncIterator[Worker]:
    """Do jobs until the block ends; what is down, then or later, is waited for.

    What jobs write is stamped by the servers' relays, as what anybody else writes.

    Args:
        jobs: what there is to do.
        settings: the servers' own.
        clock: time.
        observer: receives the jobs' and the database's events.

    Raises:
        SettingsError: there is no database, or the settings name a queue that no job is in.
    """
    if settings.database_url is None:
        raise SettingsError("jobs are kept in a database: set TAILRACE_DATABASE_URL")
    url = settings.database_url.get_secret_value()
    database = Database(url, settings=settings.database, clock=clock, observer=observer)
    worker = Worker(jobs, database, settings=settings.jobs, clock=clock, observer=observer)
    try:
        await worker.start()
        yield worker
    finally:
        await worker.stop()
        await database.aclose()
