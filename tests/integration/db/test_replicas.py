"""Real streaming replication: a replica is read from while it is certainly new enough, and never otherwise."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from tests.integration.db.replica_server import ReplicaServer
from tests.integration.db.replicated import LAG, SETTINGS, numbers, opened, port, reads_from
from tests.waiting import wait_until

from tailrace import Tailrace
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseError
from tailrace.events import ReplicaMeasured
from tailrace.settings import DatabaseSettings, FreshnessSettings, Settings


async def test_sessions_that_only_read_go_to_a_replica(primary: PostgresServer, replica: ReplicaServer) -> None:
    """They alone, and they cannot write: neither there nor, when there is no replica, on the primary."""
    async with opened(primary, replica) as (database, events):
        await wait_until(lambda: reads_from(database, replica))
        assert await port(database) == primary.port
        with pytest.raises(DatabaseError, match="read-only"):
            async with database.session(read_only=True) as session:
                await session.execute(text("INSERT INTO t VALUES (1)"))
        assert any(isinstance(event, ReplicaMeasured) and event.usable for event in events)
        replica.stop()
        await wait_until(lambda: reads_from(database, primary))
        with pytest.raises(DatabaseError, match="read-only"):
            async with database.session(read_only=True) as session:
                await session.execute(text("INSERT INTO t VALUES (1)"))
        await database.run(lambda s: s.execute(text("INSERT INTO t VALUES (1)")))


async def test_several_replicas_take_turns(
    primary: PostgresServer, replica: ReplicaServer, server_folder: Path
) -> None:
    """Each gets its share; one that is killed under a session's hands gets none any more."""
    with ReplicaServer(server_folder / f"replica{next(numbers)}", primary, SETTINGS) as second:
        async with opened(primary, replica, second) as (database, _):

            async def both() -> bool:
                return {await port(database, read_only=True) for _ in range(2)} == {replica.port, second.port}

            await wait_until(both)
            second.kill()
            failures = 0
            for _ in range(50):
                try:
                    assert await port(database, read_only=True) != second.port
                except DatabaseError:
                    failures += 1
            assert failures <= 1
            second.start()
            await wait_until(both)


async def test_nothing_older_than_the_bound_is_read(primary: PostgresServer, replica: ReplicaServer) -> None:
    """Whatever replay does, stopped and going on at random, no read shows what was old ``LAG`` before it began."""
    async with opened(primary, replica) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        written: list[tuple[float, int]] = [(time.monotonic(), 0)]
        ended = False
        ports: set[int] = set()
        await database.run(lambda s: s.execute(text("UPDATE t SET n = 0")))

        async def write() -> None:
            for n in range(1, 200):
                await database.run(lambda s, n=n: s.execute(text("UPDATE t SET n = :n"), {"n": n}))
                written.append((time.monotonic(), n))
                await asyncio.sleep(0.01)

        async def read() -> None:
            while not ended:
                began = time.monotonic()
                async with database.session(read_only=True) as session:
                    found, at = (await session.execute(text("SELECT n, inet_server_port() FROM t LIMIT 1"))).one()
                ports.add(at)
                least = max(n for moment, n in written if moment <= began - LAG or n == 0)
                assert found >= least
                await asyncio.sleep(0)

        async def stop_and_go() -> None:
            connection = await asyncpg.connect(replica.url())
            for _ in range(3):
                await connection.execute("SELECT pg_wal_replay_pause()")
                await asyncio.sleep(2 * LAG)
                await connection.execute("SELECT pg_wal_replay_resume()")
                await asyncio.sleep(LAG / 2)
            await connection.close()

        reading = [asyncio.create_task(read()) for _ in range(2)]
        await asyncio.gather(write(), stop_and_go())
        await wait_until(lambda: replica.port in ports and primary.port in ports)
        ended = True
        await asyncio.gather(*reading)


async def test_a_client_that_wrote_reads_its_write(primary: PostgresServer, replica: ReplicaServer) -> None:
    """Also where the bound would let it wait for an hour: from the replica when that has it, else from the primary."""
    async with opened(primary, replica, lag=3600.0) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        replica.execute("SELECT pg_wal_replay_pause()")
        await database.run(lambda s: s.execute(text("INSERT INTO t VALUES (77)")))
        assert await reads_from(database, replica)  # anybody else may wait
        reads = ReadContext(fenced=True)
        held = current_reads.set(reads)
        try:
            assert await reads_from(database, primary)
            replica.execute("SELECT pg_wal_replay_resume()")
            await wait_until(lambda: reads_from(database, replica))
            async with database.session(read_only=True) as session:
                assert (await session.execute(text("SELECT count(*) FROM t WHERE n = 77"))).scalar_one() == 1
            reads.bypass = True
            assert await reads_from(database, primary)
        finally:
            current_reads.reset(held)


async def test_a_promoted_replica_is_none(primary: PostgresServer, replica: ReplicaServer) -> None:
    """What is written on its own timeline is never read."""
    async with opened(primary, replica) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        replica.promote()
        replica.execute("INSERT INTO t VALUES (-1)", "tailrace")
        await wait_until(lambda: reads_from(database, primary))
        assert database.replicas is not None
        assert "promoted" in str(database.replicas.replicas[0].problem)


async def test_a_replica_of_a_promoted_one_is_none(
    primary: PostgresServer, replica: ReplicaServer, server_folder: Path
) -> None:
    """It follows, and is ahead even, but on a timeline that is not the primary's."""
    with ReplicaServer(server_folder / f"replica{next(numbers)}", replica, SETTINGS) as second:
        replica.promote()
        replica.execute("INSERT INTO t SELECT generate_series(1, 100000)", "tailrace")
        replica.execute("CHECKPOINT")
        await wait_until(lambda: second.execute("SELECT count(*) > 99999 FROM t", "tailrace") == "t")
        second.execute("CHECKPOINT")
        async with opened(primary, second) as (database, _):
            assert await reads_from(database, primary)
            assert database.replicas is not None
            assert "another primary" in str(database.replicas.replicas[0].problem)


async def test_a_replica_of_another_database_is_none(primary: PostgresServer, postgres: PostgresServer) -> None:
    """Nor is a server that was never one."""
    async with opened(primary, postgres) as (database, _):
        assert await reads_from(database, primary)


async def test_without_the_primary_nothing_is_known(primary: PostgresServer, replica: ReplicaServer) -> None:
    """A replica cannot know how old it is when nobody says where the primary is."""
    async with opened(primary, replica) as (database, _):
        await wait_until(lambda: reads_from(database, replica))
        primary.kill()
        try:

            async def refused() -> bool:
                try:
                    await port(database, read_only=True)
                except DatabaseError:
                    return True
                return False

            await wait_until(refused)
        finally:
            primary.start()
        await wait_until(lambda: reads_from(database, replica))


async def test_status_says_which_replica_is_not_read_from_and_why(
    primary: PostgresServer, replica: ReplicaServer
) -> None:
    """The part is degraded while one is gone: the primary is read from in its place."""
    settings = Settings(
        database_url=SecretStr(primary.url()),
        database=DatabaseSettings(replica_urls=(SecretStr(replica.url()),), retry_time=0),
        freshness=FreshnessSettings(enabled=False),
        valkey_url=None,
    )
    app = FastAPI()
    tailrace = Tailrace(app, settings)
    async with tailrace.running():

        async def shows(state: str, said: str) -> bool:
            part = (await tailrace.status.parts())["replicas"]
            return part.state == state and part.detail["replica1"].startswith(said)

        await wait_until(lambda: shows("up", "is read from"))
        replica.stop()
        await wait_until(lambda: shows("degraded", "it does not answer: "))
        replica.start()
        await wait_until(lambda: shows("up", "is read from"))
