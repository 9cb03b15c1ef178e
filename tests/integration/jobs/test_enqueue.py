"""Enqueuing is a part of the caller's transaction."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from tests.integration.jobs.work import mark, marks, working
from tests.waiting import wait_until

from tailrace.core.backoff import Backoff
from tailrace.db import Database
from tailrace.jobs import JobContext, Jobs, Retries, list_jobs
from tailrace.upstream.propagation import headers_to_pass_on, propagated_headers


@pytest.mark.parametrize("wrote_before", [False, True])
async def test_a_transaction_that_is_rolled_back_enqueued_nothing(database: Database, wrote_before: bool) -> None:
    """Also where enqueuing was the first that it did."""
    async with database.session() as session:
        if wrote_before:
            await session.execute(text("INSERT INTO marks (mark) VALUES ('x')"))
        await mark.enqueue(session, mark="never")
        await session.rollback()
    async with database.engine.connect() as connection:
        await mark.enqueue(connection, mark="never")
    assert await list_jobs(database) == []


async def test_nothing_is_to_be_seen_before_the_commit_and_one_job_after_it(database: Database) -> None:
    """One transaction, one job, with what it was told."""
    async with database.session() as session:
        number = await mark.enqueue(session, mark="once")
        assert await list_jobs(database) == []
        await session.commit()
    (job,) = await list_jobs(database, arguments=True)
    assert (job.id, job.name, job.state, job.arguments) == (number, "mark", "waiting", {"mark": "once"})


async def test_psycopg_enqueues_as_well(database: Database, queue_url: str) -> None:
    """Whichever driver the service uses; percent signs and dollars are data."""
    other = Database(queue_url.replace("postgresql://", "postgresql+psycopg://"))
    async with other.session() as session:
        await mark.options(after=1000, priority=3).enqueue(session, mark="100 % for $1")
        await session.commit()
    (job,) = await list_jobs(other, arguments=True)
    assert job.arguments == {"mark": "100 % for $1"}
    assert (job.due - job.enqueued).total_seconds() == pytest.approx(1000, abs=1)
    await other.aclose()


async def test_a_worker_that_hears_nothing_finds_jobs_by_looking(database: Database, queue_url: str) -> None:
    """Psycopg's connections tell nobody of notifications."""
    other = Database(queue_url.replace("postgresql://", "postgresql+psycopg://"))
    jobs = Jobs()
    seen: list[int] = []

    @jobs.job("count")
    async def count(context: JobContext, *, number: int) -> None:
        seen.append(number)

    async with working(other, jobs):
        async with database.session() as session:
            await count.enqueue(session, number=7)
            await session.commit()
        await wait_until(lambda: seen == [7])
    await other.aclose()


async def test_a_key_is_free_again_when_its_job_is_over(database: Database) -> None:
    """Of two that want the same, the second adds none; later there is one again. Names keep their keys apart."""
    keyed, other = mark.options(key="k"), Jobs().job("other")(mark.handler)
    async with database.session() as session:
        assert await keyed.enqueue(session, mark="first") is not None
        assert await keyed.enqueue(session, mark="second") is None
        assert await other.options(key="k").enqueue(session, mark="of another") is not None
        await session.commit()
    async with working(database, mark.jobs, queues=("default",)):
        await wait_until(lambda: _over(database, "mark"))
    async with database.session() as session:
        assert await keyed.enqueue(session, mark="third") is not None
        await session.commit()
    assert await marks(database) == ["first"]


async def _over(database: Database, name: str) -> bool:
    return await list_jobs(database, names=[name]) == []


async def test_the_request_goes_along(database: Database) -> None:
    """The id of the request that enqueued a job is known to it, to each attempt, and to what it calls."""
    jobs = Jobs()
    seen: list[tuple[str | None, list[tuple[bytes, bytes]]]] = []

    @jobs.job("call", retries=Retries(attempts=2, backoff=Backoff(0.001, 0.001)))
    async def call(context: JobContext) -> None:
        seen.append((context.request_id, headers_to_pass_on()))
        if context.attempt == 1:
            raise ValueError

    token = propagated_headers.set({"x-request-id": "r-1", "authorization": "secret"})
    try:
        async with database.session() as session:
            await call.enqueue(session)
            await session.commit()
    finally:
        propagated_headers.reset(token)
    async with working(database, jobs):
        await wait_until(lambda: len(seen) == 2)
    assert seen == [("r-1", [(b"x-request-id", b"r-1")])] * 2
