"""apply, ended at each of its steps in turn, and run again until the database holds what is declared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count

import asyncpg
import pytest
from tests.integration.schema.killing import OBJECTS, Forks, Road, apply_all, kill_process
from tests.integration.schema.world import fill, make_tables

from tailrace.embedded import PostgresServer
from tailrace.schema import plan

_names = count(1)
WHOLE = """
SELECT (SELECT count(*) FROM pg_index WHERE NOT indisvalid OR NOT indisready) AS broken,
       (SELECT count(*) FROM pg_class WHERE relname IN ('calls_note_words', 'calls_status')) AS indexes,
       (SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm') AS extensions,
       (SELECT count(*) FROM pg_stats WHERE tablename = 'calls_status') AS figures,
       (SELECT count(*) FROM tailrace.objects WHERE state <> 'ready') AS unready,
       (SELECT count(*) FROM (SELECT user_id, date, calls, minutes FROM calls_by_day EXCEPT ALL
            SELECT user_id, (created_at AT TIME ZONE 'UTC')::date, count(*), coalesce(sum(minutes), 0)
            FROM calls GROUP BY 1, 2) x) AS drift,
       (SELECT sum(calls) FROM calls_by_day) AS calls
"""


@pytest.fixture
async def template(postgres: PostgresServer) -> AsyncIterator[str]:
    """A database with the service's tables and rows in them, to be copied."""
    name = f"killing_{next(_names)}"
    postgres.create_database(name)
    await make_tables(postgres.url(name))
    connection = await asyncpg.connect(postgres.url(name))
    await fill(connection, 200)
    await connection.close()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def forks() -> Iterator[Forks]:
    """Where processes come from."""
    made = Forks()
    yield made
    made.close()


async def ended_at(forks: Forks, url: str, last: int, how: str) -> list[str] | None:
    """The steps of a run that was ended at step number ``last``; None if it came to its own end before."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reached = False

    async def end(backend: int) -> None:
        nonlocal reached
        reached = True
        if how == "process":
            kill_process(await started)
        else:
            own = await asyncpg.connect(url)
            await own.fetchval("SELECT pg_terminate_backend($1, 5000)", backend)
            await own.close()

    road = Road(url, last, end)
    async with road.open() as address:
        started.set_result(await asyncio.to_thread(forks.start, address))
        code = await asyncio.to_thread(forks.join)
    assert (code != 0) is reached
    return road.writes if reached else None


async def is_whole(url: str) -> None:
    """Everything declared is there, valid, exact and recorded as ready, and nothing else is left."""
    connection = await asyncpg.connect(url)
    try:
        assert tuple(await connection.fetchrow(WHOLE)) == (0, 2, 1, 1, 0, 0, 200)
        assert not await plan(url, OBJECTS)
    finally:
        await connection.close()


async def test_whatever_step_it_ends_at_the_next_run_makes_it_whole(
    postgres: PostgresServer, template: str, forks: Forks
) -> None:
    """kill -9 of the command at each step; then, now and then, its session in the server is ended at a later one."""
    steps: list[str] = []
    for last in count(1):
        name = f"{template}_copy"
        postgres.create_database(name, template=template)
        url = postgres.url(name)
        writes = await ended_at(forks, url, last, "process")
        if writes is not None:
            steps.append(writes[-1])
            if last % 3 == 0:
                await ended_at(forks, url, 1 + last // 3 % 3, "backend")
            assert await ended_at(forks, url, 0, "never") is None, steps[-1]
        await is_whole(url)
        postgres.drop_database(name)
        if writes is None:
            break
    kinds = " ".join(steps)
    for kind in ("CREATE EXTENSION", "-- What Tailrace keeps", "COMMIT", "CREATE INDEX CONCURRENTLY", "ANALYZE"):
        assert kind in kinds


async def test_a_changed_index_is_never_taken_for_the_new_one(
    postgres: PostgresServer, template: str, forks: Forks
) -> None:
    """Ended anywhere between record and removal, the old index does not pass for the new definition."""
    url = postgres.url(template)
    await asyncio.to_thread(apply_all, url)
    connection = await asyncpg.connect(url)
    old = await connection.fetchval("SELECT 'calls_status'::regclass::oid")
    await connection.execute("UPDATE tailrace.objects SET definition_hash = 'older' WHERE name = 'public.calls_status'")
    for last in count(1):
        writes = await ended_at(forks, url, last, "process")
        found = await connection.fetchrow(
            "SELECT to_regclass('calls_status')::oid AS oid, definition_hash AS hash FROM tailrace.objects "
            "WHERE name = 'public.calls_status'"
        )
        assert found["oid"] != old or found["hash"] == "older"
        if writes is None:
            break
    assert last > 3
    await connection.close()
    await is_whole(url)
