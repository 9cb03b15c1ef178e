"""A worker whose line to the database swallows what is said, as a partition does of which neither end is told."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import asyncpg
from tests.integration.jobs.work import working
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.jobs import Job, JobContext, Jobs
from tailrace.settings import DatabaseSettings
from tailrace.testing.line import PIECE, LineBase

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tailrace-jobs' AND datname = current_database()"


class SwallowingLine(LineBase):
    """Each connection that there is when it swallows says nothing any more, and is never closed; new ones work."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._deaf = asyncio.Event()

    def swallow(self) -> None:
        """Carry nothing more of the connections that there are."""
        self._deaf.set()
        self._deaf = asyncio.Event()

    async def _carry(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        deaf = self._deaf
        async with asyncio.TaskGroup() as both:
            both.create_task(self._one_way(near[0], far[1], deaf))
            both.create_task(self._one_way(far[0], near[1], deaf))

    async def _one_way(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while data := await source.read(PIECE):
            if not deaf.is_set():
                sink.write(data)
                await sink.drain()
        if not deaf.is_set():
            sink.close()


async def enqueue(url: str, job: Job[...], number: int) -> None:
    """By another process, whose line is whole."""
    database = Database(url)
    async with database.session() as session:
        await job.enqueue(session, number=number)
        await session.commit()
    await database.aclose()


async def test_jobs_are_found_by_looking_where_nothing_is_heard(queue_url: str) -> None:
    """No end of the line says so, and news of jobs is lost: they are begun all the same, at the next look."""
    jobs, done = Jobs(), list[int]()

    @jobs.job("note")
    async def note(context: JobContext, *, number: int) -> None:
        done.append(number)

    address = urlsplit(queue_url)
    other = await asyncpg.connect(queue_url)
    async with SwallowingLine(address.port or 0) as line:
        url = address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{line.port}").geturl()
        database = Database(url, settings=DatabaseSettings(answer_timeout=1, connect_timeout=5))
        async with working(database, jobs, poll_interval=0.5):
            await wait_until(lambda: _listens(other))
            await enqueue(queue_url, note, 1)
            await wait_until(lambda: done == [1])
            listening = await other.fetch(LISTENERS)
            line.swallow()
            await enqueue(queue_url, note, 2)
            await wait_until(lambda: done == [1, 2])
            assert await other.fetch(LISTENERS) == listening  # which is deaf, and has not been told
        await database.aclose()
    await other.close()


async def _listens(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(await connection.fetch(LISTENERS))
