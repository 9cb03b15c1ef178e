"""Several processes at once, and processes and servers that die in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

from sqlalchemy import text
from tests.integration.jobs.work import each_second, ends_its_process, first_hangs, leave, mark, marks, process, working
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.embedded import PostgresServer
from tailrace.jobs import Job, JobContext, Jobs, dead_jobs, list_jobs
from tailrace.settings import DatabaseSettings

ENQUEUED = """
    SELECT count(*) FROM tailrace_jobs.pgqueuer_log WHERE status = 'queued' AND traceback IS NULL AND entrypoint = :name
"""
LIVELY = 2.0
"""Seconds without a sign of life after which a process counts as dead, where one has died."""


async def put(database: Database, job: Job[...], **arguments: object) -> None:
    async with database.session() as session:
        await job.enqueue(session, **arguments)
        await session.commit()


async def empty(database: Database) -> bool:
    return await list_jobs(database) == []


async def test_two_processes_do_each_job_once(database: Database, queue_url: str) -> None:
    """Neither none nor two do one of two hundred."""
    async with process(queue_url, queues=["default"], concurrency=20):
        async with database.session() as session:
            for number in range(200):
                await mark.enqueue(session, mark=str(number))
            await session.commit()
        async with working(database, mark.jobs, queues=("default",), concurrency=20):
            await wait_until(lambda: empty(database), timeout=60)
    assert sorted(await marks(database), key=int) == [str(number) for number in range(200)]


async def test_a_job_whose_process_is_killed_is_done_by_another(database: Database, queue_url: str) -> None:
    """At least once, whatever happens in between."""
    await put(database, first_hangs)
    async with process(queue_url, queues=["default"]) as first:
        await wait_until(lambda: _begun(database), timeout=60)
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
    async with working(database, mark.jobs, queues=("default",), abandoned_after=LIVELY):
        await wait_until(lambda: empty(database), timeout=60)
    assert await marks(database) == [f"pid {first.pid}", f"pid {os.getpid()}", "done"]


async def _begun(database: Database) -> bool:
    return bool(await marks(database))


async def test_a_job_that_kills_its_process_is_dead_in_the_end(database: Database, queue_url: str) -> None:
    """It is not begun for ever, in one process after the other."""
    async with process(queue_url, queues=["default"]) as one:
        await put(database, ends_its_process)
        assert await one.wait() == 9
    async with working(database, mark.jobs, queues=("default",), abandoned_after=LIVELY):
        await wait_until(lambda: _dead(database), timeout=60)
    assert await marks(database) == ["attempt 1"]
    assert (await dead_jobs(database))[0].error.startswith("JobAbandonedError")


async def _dead(database: Database) -> bool:
    return bool(await dead_jobs(database))


async def test_a_schedule_in_three_processes_is_due_once_a_tick(database: Database, queue_url: str) -> None:
    """However many look; and a process that is told to end does so of itself."""
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(process(queue_url, queues=["schedules"])) for _ in range(2)]
        async with working(database, mark.jobs, queues=("schedules",)):
            await wait_until(lambda: _several(database), timeout=60)
            for each in processes:
                each.send_signal(signal.SIGTERM)
            assert [await each.wait() for each in processes] == [0, 0]
    ticks = await marks(database)
    assert len(set(ticks)) == len(ticks) >= 3
    ((count,),) = await database.fetch(text(ENQUEUED), {"name": each_second.name})
    assert count - len(await list_jobs(database)) == len(ticks)


async def _several(database: Database) -> bool:
    return len(await marks(database)) >= 3


async def test_a_restart_of_the_database_loses_no_job(
    postgres: PostgresServer, database: Database, queue_url: str
) -> None:
    """What was under way ends, what waited is done, and what comes later is heard of."""
    jobs, begun, may_end = Jobs(), asyncio.Event(), asyncio.Event()

    @jobs.job("through")
    async def through(context: JobContext) -> None:
        begun.set()
        await may_end.wait()

    @jobs.job("mark")
    async def later(context: JobContext, *, mark: str) -> None:
        await leave(context, mark)

    await put(database, through)
    patient = Database(queue_url, settings=DatabaseSettings(retry_time=60))
    async with working(patient, jobs, concurrency=2):
        await begun.wait()
        await asyncio.to_thread(postgres.kill)
        may_end.set()
        await asyncio.to_thread(postgres.start)
        await put(patient, later, mark="afterwards")
        await wait_until(lambda: empty(patient), timeout=60)
    assert await marks(patient) == ["afterwards"]
    await patient.aclose()


async def test_a_worker_that_begins_before_its_database_waits_for_it(
    postgres: PostgresServer, database: Database, queue_url: str
) -> None:
    """What is down keeps nothing from starting, nor from stopping."""
    await put(database, mark, mark="once it is there")
    await asyncio.to_thread(postgres.kill)
    async with working(database, mark.jobs, queues=("default",)):
        pass
    async with working(database, mark.jobs, queues=("default",)):
        await asyncio.to_thread(postgres.start)
        await wait_until(lambda: empty(database), timeout=60)


async def test_behind_a_pooler_jobs_are_found_by_looking(database: Database, pgbouncer: str) -> None:
    """Where connections pass from hand to hand nothing is listened for, and the same is done."""
    pooled = Database(pgbouncer, settings=DatabaseSettings(pgbouncer=True))
    async with working(pooled, mark.jobs, queues=("default",)):
        for number in range(3):
            await put(pooled, mark, mark=str(number))
        await wait_until(lambda: empty(pooled), timeout=60)
    assert sorted(await marks(database)) == ["0", "1", "2"]
    await pooled.aclose()
