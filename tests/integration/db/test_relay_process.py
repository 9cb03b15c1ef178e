"""``tailrace relay``, and the waiting for news that it and every server share."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.waiting import wait_until

from tailrace.cache import Cache
from tailrace.db import DatabaseFreshness, outbox
from tailrace.db.engine import make_relay_engine
from tailrace.embedded import ValkeyServer
from tailrace.schema import apply
from tailrace.settings import DatabaseSettings, FreshnessSettings
from tailrace.stores import TieredStore

ANY = "INSERT INTO calls (user_id, minutes) VALUES (1, 1)"
LONG = 60.0
"""Seconds: longer than any test lasts."""
LOOKING_OUT = 7_210_426_119
"""The lock of whoever looks for all."""


@asynccontextmanager
async def relay_process(database_url: str, valkey_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``tailrace relay``, relaying."""
    environment = {**os.environ, "TAILRACE_DATABASE_URL": database_url, "TAILRACE_VALKEY_URL": valkey_url}
    command = [sys.executable, "-m", "tailrace.cli", "relay"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"relaying\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def watching(database_url: str, valkey_url: str) -> AsyncIterator[Cache]:
    """A server's cache without a relay of its own."""
    store = TieredStore(valkey_url)
    freshness = DatabaseFreshness(database_url, settings=FreshnessSettings(relay=False, bound=0.5))
    cache = Cache(store, freshness=freshness)
    freshness.attach(cache)
    await freshness.start()
    yield cache
    await freshness.aclose()
    await cache.aclose()
    await store.aclose()


@pytest.fixture
async def connect(watched: str) -> AsyncIterator[list[AsyncConnection]]:
    """Five connections as relays have them."""
    engine = make_relay_engine(watched, DatabaseSettings())
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(engine.connect()) for _ in range(5)]
    await engine.dispose()


async def stamp_of(cache: Cache) -> bytes | None:
    prefix = cache.keyspace.prefix()
    if prefix is None or not cache.freshness or not cache.freshness.trusted():
        return None
    keys = [cache.keyspace.stamps(prefix) + "s:calls"]
    return (await cache.stamps.complete(keys, await cache.store.get(keys))) or None


async def test_it_stamps_for_servers_that_do_not(watched: str, valkey: ValkeyServer) -> None:
    """What is committed gets new stamps, before and after the store was restarted, and servers trust what they see."""
    writer = await asyncpg.connect(watched)
    async with relay_process(watched, valkey.url) as process, watching(watched, valkey.url) as cache:
        for _ in range(2):
            await wait_until(lambda: cache.freshness is not None and cache.freshness.trusted())
            before = await stamp_of(cache)
            await writer.execute(ANY)

            async def stamped(before: bytes | None = before) -> bool:
                return await stamp_of(cache) not in (None, before)

            await wait_until(stamped)
            life = cache.store.epoch
            valkey.restart()
            await wait_until(lambda life=life: cache.store.epoch not in (None, life))  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    await writer.close()


async def test_without_anything_to_stand_between_it_says_so(watched: str) -> None:
    """One line and exit code 2."""
    environment = {**os.environ, "TAILRACE_DATABASE_URL": watched}
    environment.pop("TAILRACE_VALKEY_URL", None)
    command = [sys.executable, "-m", "tailrace.cli", "relay"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().count("\n") == 1
    assert "TAILRACE_VALKEY_URL" in said.decode()


async def test_all_who_wait_learn_of_a_commit_and_one_of_them_looks(
    connect: list[AsyncConnection], watched: str
) -> None:
    """Of five relays four wait for the fifth; when he finds something, all of them return with it."""
    known = (await outbox.look(connect[0], most=10)).snapshot
    waiting = [
        asyncio.create_task(outbox.look(each, most=10, known=known, patience=LONG, pause=0.005)) for each in connect
    ]
    writer = await asyncpg.connect(watched)

    async def in_line() -> bool:
        return bool(
            await writer.fetchval("SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        )

    await wait_until(in_line)
    await writer.execute(ANY)
    for seen in await asyncio.gather(*waiting):
        assert [row.tag for row in seen.rows] == ["calls:user_id=1"]
    await writer.close()


async def test_rows_that_are_known_end_no_waiting(connect: list[AsyncConnection], watched: str) -> None:
    """What lies in the outbox and was seen is no news; a later commit is, also of a transaction that began earlier."""
    early, late = await asyncpg.connect(watched), await asyncpg.connect(watched)
    await early.execute("BEGIN; " + ANY)
    await late.execute(ANY)
    seen = await outbox.look(connect[0], most=10)
    assert len(seen.rows) == 1
    waiting = asyncio.create_task(outbox.look(connect[0], most=10, known=seen.snapshot, patience=LONG, pause=0.005))

    async def looks() -> bool:
        return bool(await late.fetchval("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))

    await wait_until(looks)
    assert not waiting.done()
    await early.execute("COMMIT")
    assert len((await waiting).rows) == 2
    await early.close()
    await late.close()


async def test_patience_ends(connect: list[AsyncConnection]) -> None:
    """Without news the answer comes all the same: from the one who looks and from those who wait for him."""
    looks = (outbox.look(each, most=10, known=outbox.BEGINNING, patience=0.05, pause=0.005) for each in connect)
    assert [seen.rows for seen in await asyncio.gather(*looks)] == [()] * 5


async def test_who_waits_for_one_that_hangs_looks_himself(connect: list[AsyncConnection], watched: str) -> None:
    """The lock held by somebody who finds nothing: news arrives nevertheless."""
    holder = await asyncpg.connect(watched)
    await holder.execute("SELECT pg_advisory_lock($1)", LOOKING_OUT)
    known = (await outbox.look(connect[0], most=10)).snapshot
    waiting = [asyncio.create_task(outbox.look(each, most=10, known=known, patience=LONG)) for each in connect]
    await holder.execute(ANY)
    for seen in await asyncio.gather(*waiting):
        assert len(seen.rows) == 1
    await holder.close()


async def test_what_an_older_version_installed_is_completed(watched: str, valkey_url: str) -> None:
    """Where functions are missing the cache is bypassed and says why; ``schema apply`` adds them, and it is trusted."""
    writer = await asyncpg.connect(watched)
    await writer.execute("DROP FUNCTION tailrace.outbox_news, tailrace.outbox_remove")
    await writer.close()
    async with watching(watched, valkey_url) as cache:
        freshness = cache.freshness
        assert isinstance(freshness, DatabaseFreshness)
        await wait_until(lambda: "schema apply" in (freshness.problem or ""))
        assert not freshness.trusted()
        await apply(watched, [])
        await wait_until(freshness.trusted)


async def test_behind_pgbouncer_no_connection_is_held(watched: str, valkey_url: str) -> None:
    """There the database is asked and never kept waiting; commits are noticed."""
    store = TieredStore(valkey_url)
    freshness = DatabaseFreshness(watched, database_settings=DatabaseSettings(pgbouncer=True))
    cache = Cache(store, freshness=freshness)
    freshness.attach(cache)
    await freshness.start()
    writer = await asyncpg.connect(watched)
    try:
        for _ in range(20):
            await wait_until(freshness.trusted)
            before = await stamp_of(cache)
            await writer.execute(ANY)

            async def stamped(before: bytes | None = before) -> bool:
                return await stamp_of(cache) not in (None, before)

            await wait_until(stamped)
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
            assert await writer.fetchval(held) == 0
    finally:
        await writer.close()
        await freshness.aclose()
        await cache.aclose()
        await store.aclose()
