"""Schedules by a clock that stands still, in as many processes as one likes."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.jobs.work import working
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.jobs import JobContext, Jobs, list_jobs
from tailrace.jobs.scheduler import Scheduler
from tailrace.testing.clock import FakeClock

HOUR = 3600.0
NOON = 1_800_014_400.0
"""A full hour."""


@pytest.fixture
def jobs() -> Jobs:
    """One job an hour, one a day."""
    jobs = Jobs()
    jobs.job("hourly", schedule="0 * * * *")(_nothing)
    jobs.job("daily", schedule="0 0 * * *")(_nothing)
    jobs.job("by-hand")(_nothing)
    return jobs


async def _nothing(context: JobContext) -> None:
    """Nothing to do."""


@pytest.fixture
async def clock() -> FakeClock:
    """A clock at noon."""
    return FakeClock(now=NOON)


@pytest.fixture
async def schedulers(database: Database, jobs: Jobs, clock: FakeClock) -> list[Scheduler]:
    """Three processes' schedulers."""
    return [Scheduler(list(jobs), database.engine, clock) for _ in range(3)]


async def look(schedulers: list[Scheduler]) -> list[str]:
    """What all of them, at once, put into the queue."""
    found = await asyncio.gather(*(each.look() for each in schedulers))
    return sorted(name for names in found for name in names)


async def finish(database: Database, jobs: Jobs) -> None:
    """Do what is in the queue."""

    async def empty() -> bool:
        return await list_jobs(database) == []

    by_hand = Jobs()
    for job in jobs:
        by_hand.job(job.name)(_nothing)
    async with working(database, by_hand):
        await wait_until(empty)


async def test_a_tick_is_one_job(database: Database, jobs: Jobs, schedulers: list[Scheduler], clock: FakeClock) -> None:
    """Nothing for the tick before a schedule was there; then one for each, and nothing between two."""
    assert await look(schedulers) == []
    assert schedulers[0].pause() == 60.0
    clock.step(HOUR - 1)
    assert await look(schedulers) == []
    assert schedulers[0].pause() == 1.0
    clock.step(1)
    assert await look(schedulers) == ["hourly"]
    assert await look(schedulers) == []
    await finish(database, jobs)
    clock.step(11 * HOUR)
    assert await look(schedulers) == ["daily", "hourly"]


async def test_of_missed_ticks_the_last_is_made_up_for(
    database: Database, jobs: Jobs, schedulers: list[Scheduler], clock: FakeClock
) -> None:
    """After a pause of all processes a job runs once, not once for each hour."""
    await look(schedulers)
    clock.step(5.5 * HOUR)
    assert await look([Scheduler(list(jobs), database.engine, clock)]) == ["hourly"]
    assert await look(schedulers) == []


async def test_a_job_that_still_waits_is_not_put_there_again(
    database: Database, schedulers: list[Scheduler], clock: FakeClock
) -> None:
    """Slow work does not pile up."""
    await look(schedulers)
    for _ in range(3):
        clock.step(HOUR)
        await look(schedulers)
    assert [job.name for job in await list_jobs(database)] == ["hourly"]


async def test_a_clock_that_is_behind_repeats_nothing(
    database: Database, jobs: Jobs, schedulers: list[Scheduler], clock: FakeClock
) -> None:
    """Whose clock is ahead comes first, the other finds it done."""
    await look(schedulers)
    slow = FakeClock(now=clock.now() + HOUR - 2)
    clock.step(HOUR)
    assert await look(schedulers) == ["hourly"]
    await finish(database, jobs)
    behind = Scheduler(list(jobs), database.engine, slow)
    assert await behind.look() == []
    slow.step(4)
    assert await behind.look() == []
