"""A replica that falls silent, or ends what it was asked, costs its readers a moment: the primary answers instead."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from tests.integration.db.replica_server import ReplicaServer
from tests.integration.db.replicated import SETTINGS, WHERE, frozen, numbers, opened, port, reads_from
from tests.waiting import wait_until

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseUnavailableError

DRIVERS = ["postgresql", "postgresql+psycopg"]
FOREVER = 60.0
"""Seconds that a read on a frozen server would take at least, if nobody gave it up."""


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_frozen_replica_is_given_up_for_the_primary(
    primary: PostgresServer, replica: ReplicaServer, driver: str
) -> None:
    """By those who ask it, those who wait for its connections and those who come after; it is read from again later."""
    async with opened(primary, replica, driver=driver, timeout=0.5, lag=3600) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        with frozen(replica):
            async with asyncio.timeout(FOREVER):
                found = await asyncio.gather(*[port(database, read_only=True) for _ in range(30)])
                assert set(found) == {primary.port}
                assert {await port(database, read_only=True) for _ in range(10)} == {primary.port}
            assert database.replicas is not None
            assert "does not answer" in str(database.replicas.replicas[0].problem)
        await wait_until(lambda: reads_from(database, replica))


async def test_a_frozen_replica_is_no_burden_to_another(
    primary: PostgresServer, replica: ReplicaServer, server_folder: object
) -> None:
    """The other is looked at as often as before, so that it stays within the bound, and shows clients their writes."""
    assert hasattr(server_folder, "joinpath")
    with ReplicaServer(server_folder / f"replica{next(numbers)}", primary, SETTINGS) as second:
        async with opened(primary, replica, second, timeout=FOREVER / 2) as (database, _):

            async def both() -> bool:
                return {await port(database, read_only=True) for _ in range(2)} == {replica.port, second.port}

            await wait_until(both)
            assert database.replicas is not None
            with frozen(second):
                first, other = database.replicas.replicas
                await wait_until(lambda: not database.replicas._usable(other, None))
                looked = first.reached
                await wait_until(lambda: first.reached > looked)
                await database.run(lambda s: s.execute(text("INSERT INTO t VALUES (5)")))
                held = current_reads.set(ReadContext(fenced=True))
                try:
                    await wait_until(lambda: reads_from(database, replica))
                finally:
                    current_reads.reset(held)
                assert other.measuring is not None
                assert not other.measuring.done()  # all of this while it was waited for
            await wait_until(both)


async def test_what_follows_a_first_answer_is_not_another_servers(
    primary: PostgresServer, replica: ReplicaServer
) -> None:
    """A session that has read something from a replica that falls silent then fails, soon."""
    async with opened(primary, replica, timeout=0.5, lag=3600) as (database, _):
        await wait_until(lambda: reads_from(database, replica))

        async def read_twice() -> None:
            async with database.session(read_only=True) as session:
                assert (await session.execute(WHERE)).scalar_one() == replica.port
                with frozen(replica):
                    await session.execute(WHERE)

        with pytest.raises(DatabaseUnavailableError):
            await asyncio.wait_for(read_twice(), FOREVER)


async def test_a_replica_that_works_is_left_to_its_work(primary: PostgresServer, replica: ReplicaServer) -> None:
    """A statement may take longer than a look."""
    async with opened(primary, replica, timeout=0.3) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        async with database.session(read_only=True) as session:
            (found,) = await session.execute(text("SELECT inet_server_port() FROM pg_sleep(1.5)"))
        assert found[0] == replica.port


async def test_a_killed_replica_fails_nobody_who_only_begins(primary: PostgresServer, replica: ReplicaServer) -> None:
    """Connections that are open already are of no use then, and new ones are refused."""
    async with opened(primary, replica, lag=3600) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        replica.kill()
        assert {await port(database, read_only=True) for _ in range(10)} == {primary.port}


async def test_what_replay_ends_is_read_on_the_primary(primary: PostgresServer, replica: ReplicaServer) -> None:
    """A statement whose rows were vacuumed away on the primary is ended on the replica, which is as well as before."""
    replica.execute("ALTER SYSTEM SET max_standby_streaming_delay = '10ms'")
    replica.execute("SELECT pg_reload_conf()")
    primary.execute("CREATE TABLE IF NOT EXISTS cleared AS SELECT 1 AS n", "tailrace")
    async with opened(primary, replica, lag=3600) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        long = text("""
            SELECT n, inet_server_port(), CASE WHEN pg_is_in_recovery() THEN pg_sleep(600) END FROM cleared
        """)

        async def read() -> tuple[int, int]:
            async with database.session(read_only=True) as session:
                (found,) = await session.execute(long)
                return found[0], found[1]

        await wait_until(lambda: replica.execute("SELECT to_regclass('cleared') IS NOT NULL", "tailrace") == "t")
        reading = asyncio.create_task(read())
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        await wait_until(lambda: replica.execute(asleep) == "1")
        primary.execute("UPDATE cleared SET n = 2", "tailrace")
        primary.execute("VACUUM cleared", "tailrace")
        assert await asyncio.wait_for(reading, FOREVER) == (2, primary.port)
        assert database.replicas is not None
        assert database.replicas.replicas[0].problem is None
