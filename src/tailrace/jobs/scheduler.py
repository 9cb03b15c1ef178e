"""Scheduled jobs: at each tick one is put into the queue, however many processes look. Touches: clock, database.

One row a schedule says which tick came last. Whoever moves it forward puts the job into the queue in the same
transaction; the others find it moved. Clocks that differ move it a little earlier or later, never twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tailrace.clock import Clock
from tailrace.db.errors import FAILURES
from tailrace.jobs.cron import Cron
from tailrace.jobs.declarations import Job
from tailrace.jobs.queue import TICK, TICKS

__all__ = ["Scheduler"]

_log = logging.getLogger("tailrace.jobs")

# A schedule that nobody knew begins with the next tick, rather than with one that passed before there was any.
BEGIN = text(f"INSERT INTO {TICKS} (job, tick) VALUES (:job, :tick) ON CONFLICT (job) DO NOTHING")  # noqa: S608
ADVANCE = text(f"UPDATE {TICKS} SET tick = :tick WHERE job = :job AND tick < :tick RETURNING job")  # noqa: S608
LONGEST = 60.0
"""Seconds between two looks at most: clocks are set, and machines sleep."""
AFTER_FAILURE = 1.0
"""Seconds until the next look after one that failed."""


class Scheduler:
    """Puts jobs into the queue when they are due.

    Args:
        jobs: those of them that have a schedule count.
        engine: the database.
        clock: time.
    """

    def __init__(self, jobs: Sequence[Job[...]], engine: AsyncEngine, clock: Clock) -> None:
        self._jobs: list[tuple[Job[...], Cron]] = [(job, job.schedule) for job in jobs if job.schedule is not None]
        self._engine = engine
        self._clock = clock
        self._begun = False

    async def run(self) -> None:
        """Look at each tick, until it is cancelled; what fails is tried again."""
        while self._jobs:
            try:
                await self.look()
                pause = self.pause()
            except FAILURES as error:
                _log.warning("schedules wait for the database: %s", error)
                pause = AFTER_FAILURE
            await self._clock.sleep(pause)

    def pause(self) -> float:
        """Seconds until the next tick of any schedule, and never longer than a minute."""
        now = self._clock.now()
        return min(LONGEST, *(cron.next(now) - now for _, cron in self._jobs))

    async def look(self) -> list[str]:
        """Put into the queue what is due and has not been put there; the names of those.

        Raises:
            DatabaseError: SQLAlchemy's errors and the driver's, too; nothing was put there.

        Cost: 1 round trip for each schedule, and one transaction.
        """
        now = self._clock.now()
        found = []
        async with self._engine.begin() as connection:
            for job, cron in self._jobs:
                tick = cron.latest(now)
                if not self._begun:
                    await connection.execute(BEGIN, {"job": job.name, "tick": tick})
                if (await connection.execute(ADVANCE, {"job": job.name, "tick": tick})).first() is not None:
                    found += await self._put(connection, job, tick)
        self._begun = True
        return found

    async def _put(self, connection: AsyncConnection, job: Job[...], tick: int) -> list[str]:
        number = await job.options(key="schedule").put(connection, b"{}", {TICK: str(tick)})
        if number is None:
            _log.warning("job %s was due again while the one before still waited or ran", job.name)
        return [] if number is None else [job.name]
