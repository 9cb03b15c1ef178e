"""Doing jobs: a part of an application's process, or all of one. Touches: the database, on connections of its own.

The library looks for jobs, marks them as its own, says that it lives and writes down what became of them; its loop runs
here for as long as the worker does, and is begun anew should it end. Heartbeats have connections of their own: a pool
that the service's requests use up must not look like a process that died.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from pgqueuer.core.qm import QueueManager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tailrace.clock import Clock, SystemClock
from tailrace.db import Database
from tailrace.db.engine import async_url, make_engine, make_relay_engine
from tailrace.db.errors import FAILURES
from tailrace.errors import SettingsError
from tailrace.events import JobsMeasured, Observer
from tailrace.jobs.declarations import Job, Jobs
from tailrace.jobs.drivers import PAUSES, WorkerDriver
from tailrace.jobs.execution import UNWINDING, Execution, Surroundings
from tailrace.jobs.queue import CHANNEL, SCHEMA, make_queries
from tailrace.jobs.scheduler import Scheduler
from tailrace.jobs.waiting import count_waiting
from tailrace.settings import DatabaseSettings, JobsSettings

__all__ = ["Worker"]

_log = logging.getLogger("tailrace.jobs")

POOL = "jobs"
# What is said of a job that is still there is what its attempts are counted from.
FORGET = text(f"""
    DELETE FROM {SCHEMA}.pgqueuer_log AS said WHERE created < now() - make_interval(secs => :age)
    AND NOT EXISTS (SELECT FROM {SCHEMA}.pgqueuer AS job WHERE job.id = said.job_id)
""")  # noqa: S608
FORGET_EVERY = 600.0
"""Seconds between two removals of what the log need not remember."""


class Worker:
    """Does the jobs of a service, those of other workers that died included, and looks after the schedules.

    Args:
        jobs: what there is to do.
        database: the service's; jobs get it, its address and settings are the queue's.
        settings: how many at once, whose, how long to wait at the end.
        clock: time.
        observer: receives the jobs' events.
    """

    def __init__(
        self,
        jobs: Jobs,
        database: Database,
        *,
        settings: JobsSettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings or JobsSettings()
        self._declared = jobs
        self._jobs: list[Job[...]] = []
        self._database = database
        self._clock = clock or SystemClock()
        self._observer = observer
        self._random = random.random
        self._tasks: list[asyncio.Task[None]] = []
        self._manager: QueueManager | None = None

    async def start(self) -> None:
        """Begin. A database that is away, or that lacks the queue's tables, is waited for.

        Raises:
            SettingsError: the settings name a queue that no job is in.
        """
        self._jobs = _of_queues(list(self._declared), self._settings.queues)
        settings = self._database.settings
        if settings.direct_url is not None:
            settings = settings.model_copy(update={"pgbouncer": False})
        url = self._database.direct
        few = settings.model_copy(update={"pool_size": 2, "max_overflow": 1})
        self._engine = make_engine(url, few, self._observer, pool=POOL)
        self._listening = _listening(url, settings)
        self._driver = WorkerDriver(self._engine, self._listening, self._random)
        self._stopping = asyncio.Event()
        self._around = Surroundings(
            self._database,
            make_queries(self._driver),
            self._clock,
            self._random,
            self._observer,
            stopping=self._stopping,
            cut_off=asyncio.Event(),
        )
        self._working = asyncio.create_task(self._work(), name="tailrace jobs")
        scheduler = Scheduler(self._jobs, self._engine, self._clock)
        self._tasks = [
            asyncio.create_task(scheduler.run(), name="tailrace jobs scheduler"),
            asyncio.create_task(self._measure(), name="tailrace jobs measure"),
        ]

    async def stop(self) -> None:
        """Begin nothing more, wait for what is under way, and give back what does not end in time."""
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()
        if self._around.under_way:
            await asyncio.wait({self._working}, timeout=self._settings.drain)
        self._around.cut_off.set()
        if self._around.under_way:
            await asyncio.wait({self._working}, timeout=UNWINDING)
        self._driver.stopping.set()
        await self._working
        await self._engine.dispose()
        if self._listening is not None:
            await self._listening.dispose()

    async def _work(self) -> None:
        """The library's loop, anew whenever it ends before its time."""
        failed = 0
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            try:
                await self._run_once()
            except Exception as error:  # whatever it was, the next look may find it mended
                failed = 0 if self._clock.monotonic() - began > PAUSES.cap else failed + 1
                _log.warning("jobs wait: %s: %s", type(error).__name__, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), PAUSES.delay(failed, self._random()))

    async def _run_once(self) -> None:
        settings = self._settings
        manager = QueueManager(self._around.queries, CHANNEL)
        for job in self._jobs:
            manager.register_executor(job.name, Execution(job, self._around))
        self._manager = manager
        if self._stopping.is_set():
            return
        await manager.run(
            dequeue_timeout=timedelta(seconds=settings.poll_interval),
            batch_size=settings.concurrency // 2,
            max_concurrent_tasks=settings.concurrency,
            heartbeat_timeout=timedelta(seconds=settings.abandoned_after),
            log_aggregation_interval=timedelta(0),
        )

    async def _measure(self) -> None:
        """Count what waits, and now and then forget what is over, until it is cancelled."""
        forgot = self._clock.monotonic()
        while True:
            try:
                await self.measure()
                if self._clock.monotonic() - forgot >= FORGET_EVERY:
                    forgot = self._clock.monotonic()
                    async with self._engine.begin() as connection:
                        await connection.execute(FORGET, {"age": self._settings.keep_log})
            except FAILURES as error:
                _log.warning("jobs that wait are not counted: %s", error)
            await self._clock.sleep(self._settings.measure_interval)

    async def measure(self) -> None:
        """Tell the observer how many jobs wait.

        Raises:
            DatabaseError: SQLAlchemy's errors and the driver's, too.
        """
        if self._observer is None:
            return
        async with self._engine.connect() as connection:
            counted = await count_waiting(connection, [job.name for job in self._jobs])
        for each in counted:
            self._observer(JobsMeasured(each.name, each.waiting, each.oldest, each.dead))


def _of_queues(jobs: Sequence[Job[...]], queues: Sequence[str]) -> list[Job[...]]:
    strangers = set(queues) - {job.queue for job in jobs}
    if strangers:
        raise SettingsError(f"no job is in the queue {', '.join(sorted(strangers))}")
    return [job for job in jobs if not queues or job.queue in queues]


def _listening(url: str, settings: DatabaseSettings) -> AsyncEngine | None:
    """What makes the connection that hears of jobs; None where none can be kept, or its driver hears nothing."""
    if settings.pgbouncer or async_url(url).drivername != "postgresql+asyncpg":
        return None
    return make_relay_engine(url, settings, "tailrace-jobs")
