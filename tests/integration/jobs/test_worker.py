"""Doing jobs in one process: retries, dead letters, limits, the end."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.integration.jobs.work import SOON, working
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.errors import ConstraintError, SettingsError
from tailrace.events import Event, JobsMeasured
from tailrace.jobs import Job, JobContext, Jobs, Retries, Worker, dead_jobs, list_jobs, requeue
from tailrace.observe import Metrics
from tailrace.settings import JobsSettings


async def enqueue(database: Database, job: Job[...], times: int = 1, **arguments: object) -> None:
    async with database.session() as session:
        for _ in range(times):
            await job.enqueue(session, **arguments)
        await session.commit()


async def empty(database: Database) -> bool:
    return await list_jobs(database) == []


async def test_a_job_that_fails_is_tried_again_and_kept_when_it_is_dead(database: Database) -> None:
    """Attempts are counted, the last error stays with the job, and put back it has all its attempts again."""
    jobs = Jobs()
    attempts: list[int] = []

    @jobs.job("fail", retries=Retries(attempts=3, backoff=SOON))
    async def fail(context: JobContext) -> None:
        attempts.append(context.attempt)
        if len(attempts) < 6:
            raise ValueError(f"failure {len(attempts)}")

    await enqueue(database, fail)
    async with working(database, jobs):
        await wait_until(lambda: _dead(database))
        (dead,) = await dead_jobs(database)
        assert dead.error == "ValueError: failure 3"
        assert "in fail" in dead.traceback
        assert await requeue(database, [dead.job.id, 10**9]) == [dead.job.id]
        await wait_until(lambda: empty(database))
    assert attempts == [1, 2, 3, 1, 2, 3]
    assert await requeue(database) == []


async def _dead(database: Database) -> bool:
    return bool(await dead_jobs(database))


async def test_a_dead_job_does_not_push_aside_one_that_has_its_key(database: Database) -> None:
    """It stays dead until the other is over."""
    jobs = Jobs()

    @jobs.job("once", retries=Retries(attempts=1))
    async def once(context: JobContext) -> None:
        raise ValueError

    await enqueue(database, once.options(key="k"))
    async with working(database, jobs):
        await wait_until(lambda: _dead(database))
    await enqueue(database, once.options(key="k", after=1000))
    with pytest.raises(ConstraintError):
        await requeue(database)
    assert [job.state for job in await list_jobs(database)].count("dead") == 1


async def test_a_job_that_takes_too_long_is_ended(database: Database) -> None:
    """It is cancelled, and fails like any other."""
    jobs = Jobs()
    ended: list[bool] = []

    @jobs.job("slow", timeout=0.05, retries=Retries(attempts=1))
    async def slow(context: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(True)
            raise

    await enqueue(database, slow)
    async with working(database, jobs):
        await wait_until(lambda: _dead(database))
    assert ended == [True]
    assert (await dead_jobs(database))[0].error.startswith("JobTimeoutError")


async def test_a_job_that_ends_its_own_task_is_not_lost(database: Database) -> None:
    """Cancellation from within is a failure, not the end of the worker."""
    jobs = Jobs()

    @jobs.job("cancels", retries=Retries(attempts=1))
    async def cancels(context: JobContext) -> None:
        raise asyncio.CancelledError

    await enqueue(database, cancels)
    async with working(database, jobs):
        await wait_until(lambda: _dead(database))


async def test_no_more_jobs_at_once_than_allowed(database: Database) -> None:
    """In one process by its settings; of one kind, in all processes together, by its declaration."""
    jobs = Jobs()
    now: dict[str, int] = {"alone": 0, "all": 0}
    most = dict(now)
    full = asyncio.Event()
    done: list[str] = []

    async def count(context: JobContext) -> None:
        for kind in {"all", context.name} & now.keys():
            now[kind] += 1
            most[kind] = max(most[kind], now[kind])
        await full.wait()
        for kind in {"all", context.name} & now.keys():
            now[kind] -= 1
        done.append(context.name)

    alone = jobs.job("alone", concurrency=1)(count)
    crowd = jobs.job("crowd")(count)
    await enqueue(database, alone, 6)
    await enqueue(database, crowd, 12)
    async with working(database, jobs, concurrency=2), working(database, jobs, concurrency=2):
        await wait_until(lambda: now["all"] == 4)
        full.set()
        await wait_until(lambda: len(done) == 18)
    assert most["alone"] == 1
    assert most["all"] == 4


async def test_at_the_end_a_job_under_way_is_waited_for(database: Database) -> None:
    """Nothing more is begun, and what was begun is done."""
    jobs, begun, may_end = Jobs(), asyncio.Event(), asyncio.Event()
    done: list[int] = []

    @jobs.job("long")
    async def long(context: JobContext) -> None:
        begun.set()
        await may_end.wait()
        done.append(context.id)

    await enqueue(database, long, 3)
    worker = Worker(jobs, database, settings=JobsSettings(concurrency=2, drain=60))
    await worker.start()
    await begun.wait()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    may_end.set()
    await stopping
    left = await list_jobs(database)
    assert len(done) + len(left) == 3
    assert {job.state for job in left} == {"waiting"}
    assert done


async def test_a_job_that_is_not_done_in_time_is_given_back(database: Database) -> None:
    """Another worker begins it anew, and that it was given back counts as no attempt."""
    jobs, begun = Jobs(), asyncio.Event()
    attempts: list[int] = []

    @jobs.job("long", retries=Retries(attempts=1))
    async def long(context: JobContext) -> None:
        attempts.append(context.attempt)
        begun.set()
        if len(attempts) < 3:
            await asyncio.Event().wait()

    await enqueue(database, long)
    for _ in range(2):
        begun.clear()
        async with working(database, jobs, drain=0.01):
            await begun.wait()
        assert [job.state for job in await list_jobs(database)] == ["waiting"]
    async with working(database, jobs):
        await wait_until(lambda: empty(database))
    assert attempts == [1, 1, 1]


async def test_an_interruptible_job_is_not_waited_for(database: Database) -> None:
    """It goes on at another worker, however long this one would wait for others."""
    jobs, begun = Jobs(), asyncio.Event()
    attempts: list[int] = []

    @jobs.job("long", retries=Retries(attempts=1), interruptible=True)
    async def long(context: JobContext) -> None:
        attempts.append(context.attempt)
        begun.set()
        if len(attempts) < 2:
            await asyncio.Event().wait()

    await enqueue(database, long)
    async with asyncio.timeout(60):
        async with working(database, jobs, drain=3600.0):
            await begun.wait()
    assert [job.state for job in await list_jobs(database)] == ["waiting"]
    async with working(database, jobs):
        await wait_until(lambda: empty(database))
    assert attempts == [1, 1]


async def test_what_happens_is_counted(database: Database) -> None:
    """Each kind of event is a figure of its job's name."""
    jobs, metrics = Jobs(), Metrics()
    jobs.observer = metrics

    @jobs.job("fine")
    async def fine(context: JobContext) -> None:
        """Nothing to do."""

    @jobs.job("bad", retries=Retries(attempts=2, backoff=SOON))
    async def bad(context: JobContext) -> None:
        raise ValueError

    await enqueue(database, fine, 2)
    await enqueue(database, bad)
    await enqueue(database, fine.options(after=1000))
    worker = Worker(jobs, database, observer=metrics)
    await worker.start()
    await worker.measure()
    await wait_until(lambda: _settled(database))
    await worker.measure()
    await worker.stop()
    assert metrics["tailrace.job.enqueued"].series[("fine",)] == [3]
    assert metrics["tailrace.job.waiting"].series[("fine",)] == [0]
    assert metrics["tailrace.job.dead"].series[("bad",)] == [1]
    assert metrics["tailrace.job.running"].series[("bad",)] == [0]
    lasted = {labels: sum(series[1:]) for labels, series in metrics["tailrace.job.run.duration"].series.items()}
    assert lasted == {("fine", "done"): 2, ("bad", "retried"): 1, ("bad", "dead"): 1}
    assert sum(metrics["tailrace.job.wait_time"].series[("bad",)][1:]) == 2


async def _settled(database: Database) -> bool:
    return sorted(job.state for job in await list_jobs(database)) == ["dead", "waiting"]


async def test_what_waits_is_measured(database: Database) -> None:
    """How many are due and not begun; a job that is not due does not wait."""
    jobs = Jobs()
    begun: list[int] = []
    seen: list[Event] = []

    @jobs.job("hang")
    async def hang(context: JobContext) -> None:
        begun.append(context.id)
        await asyncio.Event().wait()

    await enqueue(database, hang, 5)
    await enqueue(database, hang.options(after=1000))
    worker = Worker(jobs, database, observer=seen.append, settings=JobsSettings(concurrency=2, drain=0))
    await worker.start()
    await wait_until(lambda: len(begun) == 2)
    await worker.measure()
    measured = [event for event in seen if isinstance(event, JobsMeasured)][-1]
    await worker.stop()
    assert (measured.job, measured.waiting, measured.dead) == ("hang", 3, 0)
    assert measured.oldest > 0


async def test_arguments_are_not_in_the_log(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Neither where a job begins nor where it fails for the last time."""
    jobs = Jobs()

    @jobs.job("fail", retries=Retries(attempts=2, backoff=SOON))
    async def fail(context: JobContext, *, token: str) -> None:
        raise ValueError("no")

    with caplog.at_level(logging.DEBUG):
        await enqueue(database, fail, token="hunter2")
        async with working(database, jobs):
            await wait_until(lambda: _dead(database))
    assert "fail" in caplog.text
    assert "hunter2" not in caplog.text
    assert (await dead_jobs(database))[0].job.arguments is None


async def test_a_queue_that_no_job_is_in_is_a_mistake(database: Database) -> None:
    """A worker that would never do anything does not start."""
    with pytest.raises(SettingsError, match="reports"):
        await Worker(Jobs(), database, settings=JobsSettings(queues=("reports",))).start()
