"""Random histories of several processes on one database and one store, against a model that knows the right answers.

Writers commit through sessions, in raw SQL past them, in bulk, and roll back; clients leave while they wait; the store
is emptied and restarted, connections to it and to the database are cut. Each user's row counts its versions, so the
model needs only to remember when each version was known to be committed, and holds every read to the promises of
``docs/explanation/freshness.md``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.cache import Cache, CachePolicy
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.db import Database, DatabaseFreshness
from tailrace.embedded import ValkeyServer
from tailrace.errors import TailraceError
from tailrace.settings import CacheSettings, DatabaseSettings, FreshnessSettings
from tailrace.stores import MemoryStore, Store, TieredStore, ValkeyStore

USERS = range(1, 5)
SECONDS = 2.5
BOUND = 0.4
POLICIES = (
    CachePolicy("plain", ttl=60),
    CachePolicy("eager", ttl=0.05, stale_while_revalidate=60, early_refresh=50, warm=True),
    CachePolicy("short", ttl=0.02, stale_if_error=60),
)
TABLE = """
CREATE TABLE counters (user_id int PRIMARY KEY, n int NOT NULL);
INSERT INTO counters SELECT generate_series(1, 4), 0;
CREATE FUNCTION tag_counters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tailrace.outbox (tag) SELECT DISTINCT
        CASE WHEN (SELECT count(*) FROM changed) > 2 THEN 'counters:*' ELSE 'counters:user_id=' || user_id END
    FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER tag_update AFTER UPDATE ON counters REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_counters();
"""
ONE = "UPDATE counters SET n = n + 1 WHERE user_id = {} RETURNING user_id, n"
ALL = "UPDATE counters SET n = n + 1 WHERE user_id IN (SELECT user_id FROM counters ORDER BY 1 FOR UPDATE) RETURNING *"


class Process:
    """What one server process has."""

    def __init__(self, url: str, store: Store) -> None:
        settings = DatabaseSettings(pool_size=4, max_overflow=4)
        self.store = store
        self.database = Database(url, settings=settings)
        self.freshness = DatabaseFreshness(url, settings=FreshnessSettings(bound=BOUND), database_settings=settings)
        self.cache = Cache(store, freshness=self.freshness, settings=CacheSettings(lease=0.5))
        self.freshness.attach(self.cache)
        self.database.commits = self.freshness

    async def aclose(self) -> None:
        await self.cache.aclose()
        await self.freshness.aclose()
        await self.database.aclose()
        await self.store.aclose()


@dataclass
class World:
    """Processes, and what is known for certain: when which version of which user had been committed."""

    url: str
    random: random.Random
    processes: list[Process]
    known: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: {user: [(0.0, 0)] for user in USERS})
    wrong: list[str] = field(default_factory=list)
    reads: dict[str, int] = field(default_factory=dict)
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def committed(self, rows: list[tuple[int, int]]) -> None:
        for user, version in rows:
            self.known[user].append((time.monotonic(), version))

    def newest(self, user: int, before: float) -> int:
        return max(version for moment, version in self.known[user] if moment <= before)

    async def read(self, process: Process, user: int) -> int:
        policy = self.random.choice(POLICIES)

        async def compute() -> bytes:
            if self.random.random() < 0.1:
                raise ConnectionError("upstream")
            rows = await process.database.fetch(text(f"SELECT n FROM counters WHERE user_id = {user}"))
            for _ in range(self.random.choice((0, 0, 5, 50))):
                await asyncio.sleep(0)
            return str(rows[0][0]).encode()

        began = time.monotonic()
        answer = await process.cache.read_through(
            f"{policy.name}:{user}", compute, policy=policy, depends_on=[f"counters:user_id={user}"]
        )
        self.reads[answer.status] = self.reads.get(answer.status, 0) + 1
        version, least = int(answer.value), self.newest(user, began - BOUND)
        if version < least:
            self.wrong.append(f"bound: {answer.status} {policy.name} {version} < {least}")
        return version


Actor = Callable[[World], Coroutine[Any, Any, None]]


async def client(world: World) -> None:
    """Writes on one process and reads on any; shows its tokens as a browser would."""
    jar: dict[str, str] = {}
    own = dict.fromkeys(USERS, 0)
    user = world.random.choice(USERS)
    just_wrote = False
    while time.monotonic() < world.until:
        process = world.random.choice(world.processes)
        user = user if just_wrote else world.random.choice(USERS)
        reads = ReadContext()
        current_reads.set(reads)
        tokens = process.freshness.tokens
        needs = {tokens.read(token) for token in jar.values()} if tokens else {"bypass"}
        if "bypass" in needs:
            reads.bypass = True
        elif "fence" in needs:
            reads.bypass = not await process.freshness.fence()
        try:
            if not just_wrote and world.random.random() < 0.3:
                await write(world, process, user, own)
            else:
                least = own[user]
                version = await world.read(process, user)
                if version < least:
                    world.wrong.append(f"own write: {version} < {least}, bypass {reads.bypass}")
        except (TailraceError, ConnectionError):
            pass
        if reads.wrote:
            tokens = process.freshness.tokens
            assert tokens is not None
            unstamped = reads.wrote_unstamped or reads.stamped_in not in (None, tokens.life)
            jar[tokens.place(unstamped=unstamped)] = tokens.issue(unstamped=unstamped)
        just_wrote = reads.wrote
        if not just_wrote:
            await asyncio.sleep(world.random.random() * 0.01)


async def write(world: World, process: Process, user: int, own: dict[int, int]) -> None:
    statement = text(ALL if world.random.random() < 0.1 else ONE.format(user))

    async def work(session: AsyncSession) -> list[tuple[int, int]]:
        before = own[user]
        rows = [(row.user_id, row.n) for row in await session.execute(statement)]
        inside = await world.read(process, user)
        if inside < before:
            world.wrong.append(f"inside the transaction: {inside} < {before}")
        return rows

    if world.random.random() < 0.2:
        async with process.database.session() as session:
            await work(session)
            await session.rollback()
        return
    rows = await process.database.run(work)
    world.committed(rows)
    own.update(rows)


async def raw_writer(world: World) -> None:
    """Knows nothing of Tailrace."""
    connection = await asyncpg.connect(world.url)
    try:
        while time.monotonic() < world.until:
            async with connection.transaction():
                rows = await connection.fetch(ONE.format(world.random.choice(USERS)))
                await asyncio.sleep(world.random.random() * 0.02)
            world.committed([tuple(row) for row in rows])
            await asyncio.sleep(world.random.random() * 0.05)
    finally:
        await connection.close()


async def leaver(world: World) -> None:
    """Asks and leaves."""
    while time.monotonic() < world.until:
        process, user = world.random.choice(world.processes), world.random.choice(USERS)
        asking = asyncio.create_task(world.read(process, user))
        await asyncio.sleep(world.random.random() * 0.004)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def relay_cutter(world: World) -> None:
    connection = await asyncpg.connect(world.url)
    try:
        while time.monotonic() < world.until:
            await asyncio.sleep(world.random.random() * 0.6)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'tailrace-relay' AND datname = current_database() AND random() < 0.5"
            )
    finally:
        await connection.close()


def store_breaker(valkey: ValkeyServer) -> Actor:
    async def break_it(world: World) -> None:
        while time.monotonic() < world.until:
            await asyncio.sleep(world.random.random() * 0.5)
            what = world.random.choice(("flush", "cut", "restart"))
            if what == "flush":
                await asyncio.to_thread(valkey.flush)
            elif what == "restart":
                await asyncio.to_thread(valkey.kill)
                await asyncio.to_thread(valkey.start)
            else:
                cutter = ValkeyStore(valkey.url)
                await cutter.call("cut", [("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")])
                await cutter.aclose()

    return break_it


async def play(
    url: str, seed: int, stores: list[Store], *faults: Callable[[World], Coroutine[Any, Any, None]]
) -> World:
    connection = await asyncpg.connect(url)
    await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
    await connection.execute(TABLE)
    await connection.close()
    async with AsyncExitStack() as stack:
        processes = [Process(url, store) for store in stores]
        for process in processes:
            stack.push_async_callback(process.aclose)
            await process.store.connect()
            await process.freshness.start()
        world = World(url, random.Random(seed), processes)
        actors = [*[client] * 8, raw_writer, leaver, leaver, relay_cutter, *faults]
        async with asyncio.TaskGroup() as group:
            for actor in actors:
                group.create_task(actor(world))
        await settled(world)
        for process in processes:
            assert len(process.cache._flights) == 0
    return world


async def settled(world: World) -> None:
    """When everything is quiet and whole again, every process serves the newest versions, from its cache."""
    newest = {user: world.newest(user, time.monotonic()) for user in USERS}
    async with asyncio.timeout(20):
        for process in world.processes:
            for user in USERS:
                await asyncio.sleep(0)
                while not process.freshness.trusted() or await answer_of(world, process, user) != newest[user]:
                    await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        while "hit" not in world.reads:  # on a busy machine what broke may have kept every read from the cache
            await answer_of(world, world.processes[0], USERS[0])
    async with asyncio.timeout(5):
        while any(len(process.cache._flights) for process in world.processes):
            await asyncio.sleep(0.01)


async def answer_of(world: World, process: Process, user: int) -> int:
    try:
        return await world.read(process, user)
    except (TailraceError, ConnectionError):
        return -1


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_history_breaks_a_promise(database_url: str, valkey: ValkeyServer, valkey_url: str, seed: int) -> None:
    """Three processes on one store: own writes at once, others' within the bound, whatever breaks."""
    stores: list[Store] = [TieredStore(valkey_url), TieredStore(valkey_url), ValkeyStore(valkey_url)]
    world = await play(database_url, seed, stores, store_breaker(valkey))
    assert not world.wrong
    assert world.reads["bypass"] > 0


async def test_no_history_without_a_shared_store_breaks_a_promise(database_url: str) -> None:
    """Two processes that each keep answers in their own memory."""
    world = await play(database_url, 3, [MemoryStore(), MemoryStore()])
    assert not world.wrong
