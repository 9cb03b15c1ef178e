"""Freshness on a real database: whoever commits, from wherever, cached answers follow."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from tests.waiting import wait_until

from tailrace.cache import Answer, Cache, CachePolicy
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.cache.stamps import Stamps
from tailrace.db import Database, DatabaseFreshness, outbox
from tailrace.db.engine import make_relay_engine
from tailrace.db.relay import Follower, OwnCommits, Pass
from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace.errors import StoreUnavailableError
from tailrace.settings import CacheSettings, DatabaseSettings, FreshnessSettings
from tailrace.stores import MemoryStore, Store, TieredStore

POLICY = CachePolicy("sum", ttl=600)
INSERT = text("INSERT INTO calls (user_id, minutes) VALUES (:user, :minutes)")


class Process:
    """What one server process has: a database, a store, a cache kept fresh."""

    def __init__(self, url: str, store: Store, settings: FreshnessSettings, namespace: str) -> None:
        small = DatabaseSettings(pool_size=2, max_overflow=2)
        self.store = store
        self.database = Database(url, settings=small)
        self.freshness = DatabaseFreshness(url, settings=settings, database_settings=small)
        self.cache = Cache(store, freshness=self.freshness, settings=CacheSettings(namespace=namespace))
        self.freshness.attach(self.cache)
        self.database.commits = self.freshness

    async def read(self, user: int) -> tuple[int, Answer]:
        async def compute() -> bytes:
            rows = await self.database.fetch(
                text("SELECT coalesce(sum(minutes), 0) FROM calls WHERE user_id = :user"), {"user": user}
            )
            return str(rows[0][0]).encode()

        answer = await self.cache.read_through(
            f"sum:{user}", compute, policy=POLICY, depends_on=[f"calls:user_id={user}"]
        )
        return int(answer.value), answer

    async def write(self, user: int, minutes: int) -> None:
        await self.database.run(lambda session: session.execute(INSERT, {"user": user, "minutes": minutes}))


Start = Callable[..., Awaitable[Process]]


@asynccontextmanager
async def processes(url: str, make_store: Callable[[], Store]) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(namespace: str = "tailrace", **settings: object) -> Process:
            process = Process(url, make_store(), FreshnessSettings(**settings), namespace)  # type: ignore[arg-type]
            stack.push_async_callback(process.store.aclose)
            stack.push_async_callback(process.database.aclose)
            stack.push_async_callback(process.cache.aclose)
            stack.push_async_callback(process.freshness.aclose)
            await process.freshness.start()
            await wait_until(process.freshness.trusted)
            return process

        yield start


@pytest.fixture
async def shared(watched: str, valkey_url: str) -> AsyncIterator[Start]:
    """Starts processes that share a store."""
    async with processes(watched, lambda: TieredStore(valkey_url)) as start:
        yield start


@pytest.fixture
async def alone(watched: str) -> AsyncIterator[Start]:
    """Starts processes that each have a memory of their own."""
    async with processes(watched, MemoryStore) as start:
        yield start


async def outbox_is_empty(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) = 0 FROM tailrace.outbox")
    finally:
        await connection.close()


@pytest.fixture(params=["shared", "alone"])
def start(request: pytest.FixtureRequest) -> Start:
    """The rule holds with a shared store and with a memory of one's own."""
    return request.getfixturevalue(request.param)


async def test_a_writer_reads_its_own_write_at_once(start: Start) -> None:
    """On the process that committed, the next read after run() returns sees it; a hundred times in a row."""
    process = await start()
    for number in range(1, 101):
        await process.write(1, 1)
        assert (await process.read(1))[0] == number
        assert (await process.read(1))[1].status == "hit"


async def test_a_fence_shows_another_process_s_write(start: Start) -> None:
    """A client that wrote on one process and fences on another reads its write there."""
    one, two = await start(), await start()
    for number in range(1, 51):
        await two.read(1)
        await one.write(1, 1)
        assert await two.freshness.fence()
        assert (await two.read(1))[0] == number


async def test_a_write_by_psql_is_noticed(start: Start, watched: str, postgres: PostgresServer) -> None:
    """A writer that knows nothing of Tailrace ends the answers of every process."""
    one, two = await start(), await start()
    await one.read(1)
    await two.read(1)
    statement = "INSERT INTO calls (user_id, minutes) VALUES (1, 5)"
    await asyncio.to_thread(subprocess.run, [postgres.psql_path, "-q", "-c", statement, watched], check=True)
    for process in (one, two):

        async def sees_it(process: Process = process) -> bool:
            return (await process.read(1))[0] == 5

        await wait_until(sees_it)


async def test_a_rolled_back_write_changes_nothing(start: Start) -> None:
    """What did not commit invalidates nothing and marks nobody as a writer."""
    process = await start()
    await process.read(1)
    context = ReadContext()
    held = current_reads.set(context)
    async with process.database.session() as session:
        await session.execute(INSERT, {"user": 1, "minutes": 1})
        assert context.writing
        assert (await process.read(1))[1].status == "bypass"
        await session.rollback()
    assert not context.writing
    assert not context.wrote
    current_reads.reset(held)
    assert (await process.read(1))[1].status == "hit"


async def test_savepoints_commit_with_their_transaction(start: Start) -> None:
    """Releasing a savepoint stamps nothing; committing the whole does."""
    process = await start()
    await process.read(1)
    context = ReadContext()
    held = current_reads.set(context)
    async with process.database.session() as session, session.begin():
        async with session.begin_nested():
            await session.execute(INSERT, {"user": 1, "minutes": 1})
        assert not context.wrote
        assert context.writing
    assert context.wrote
    assert not context.writing
    current_reads.reset(held)
    assert (await process.read(1))[0] == 1


async def test_reading_transactions_mark_nobody(start: Start) -> None:
    """A commit that wrote nothing gives no token and costs no look at the outbox."""
    process = await start()
    context = ReadContext()
    held = current_reads.set(context)
    async with process.database.session() as session:
        await session.execute(text("SELECT 1"))
        await session.commit()
    current_reads.reset(held)
    assert not context.wrote


async def test_rows_are_taken_and_gone(shared: Start, watched: str) -> None:
    """With a shared store the outbox drains, whoever wrote."""
    one, _ = await shared(), await shared()
    for user in range(20):
        await one.write(user, 1)
    await wait_until(lambda: outbox_is_empty(watched))


async def test_a_writer_that_dies_after_its_commit_is_relayed(shared: Start, watched: str) -> None:
    """A process killed between commit and stamps leaves rows that the others' relay stamps."""
    one, two = await shared(), await shared()
    await two.read(1)

    class Dead:
        async def stamped(self, tags: frozenset[str], xids: frozenset[int]) -> bool:
            return True

    one.database.commits = Dead()
    await one.write(1, 5)

    async def sees_it() -> bool:
        return (await two.read(1))[0] == 5

    await wait_until(sees_it)


async def test_a_store_that_is_down_makes_no_error_and_no_stale_answer(
    watched: str, valkey: ValkeyServer, shared: Start
) -> None:
    """Reads bypass, writes commit and tell their client to bypass; when the store is back, answers are right."""
    process = await shared()
    await process.read(1)
    valkey.kill()
    try:
        context = ReadContext()
        held = current_reads.set(context)
        await process.write(1, 5)
        current_reads.reset(held)
        assert context.wrote_unstamped
        value, answer = await process.read(1)
        assert (value, answer.status) == (5, "bypass")
        assert not await process.freshness.fence()
    finally:
        valkey.start()

    async def hits_again() -> bool:
        value, answer = await process.read(1)
        assert value == 5
        return answer.status == "hit"

    await wait_until(hits_again)
    await wait_until(lambda: outbox_is_empty(watched))


async def test_a_lost_database_connection_stops_the_horizon_and_comes_back(
    start: Start, watched: str, postgres: PostgresServer
) -> None:
    """While the relay cannot look, answers are not trusted past the bound; afterwards they are again."""
    process = await start(bound=0.2)
    await process.read(1)
    postgres.kill()
    try:
        await wait_until(lambda: not process.freshness.trusted())
    finally:
        postgres.start()
    await wait_until(process.freshness.trusted)

    async def reads() -> bool:
        return (await process.read(1))[0] == 0

    await wait_until(reads)


async def test_a_relay_that_hangs_with_rows_locked_holds_up_nobody(shared: Start, watched: str) -> None:
    """Every process stamps what it sees, whoever holds it: answers are right and from the cache, the row stays."""
    process = await shared(bound=0.5)
    await process.read(1)
    writer, hung = await asyncpg.connect(watched), await asyncpg.connect(watched)
    written = 0
    try:
        held: list[asyncpg.Record] = []
        while not held:  # until the lock was quicker than the removal
            await hung.execute("ROLLBACK; BEGIN")
            await writer.execute("INSERT INTO calls (user_id, minutes) VALUES (1, 5)")
            written += 5
            held = await hung.fetch("SELECT 1 FROM tailrace.outbox FOR UPDATE SKIP LOCKED")

        async def right_and_kept() -> bool:
            value, answer = await process.read(1)
            return value == written and answer.status == "hit"

        await wait_until(right_and_kept)
        reached = process.freshness._horizon.reached
        await wait_until(lambda: process.freshness._horizon.reached > reached)
        assert not await outbox_is_empty(watched)
        await hung.execute("ROLLBACK")
    finally:
        await writer.close()
        await hung.close()
    await wait_until(lambda: outbox_is_empty(watched))


async def test_a_commit_is_stamped_once(shared: Start, watched: str) -> None:
    """Neither another process's relay nor the writer's own replaces stamps that were replaced since the commit."""
    one, two, three = await shared(), await shared(), await shared()
    key = f"{one.cache.keyspace.prefix()}s:calls:user_id=1"
    for writer in (one, two, three):
        await writer.write(1, 1)
        stamps = await one.store.get([key])
        await wait_until(lambda: outbox_is_empty(watched))
        assert await one.store.get([key]) == stamps


async def test_applications_that_share_database_and_store_hear_of_the_same_commits(shared: Start, watched: str) -> None:
    """Rows are removed by whoever stamps them first, so what one application stamps holds for every other."""
    one, two = await shared(namespace="one"), await shared(namespace="two", relay=False)
    writer = await asyncpg.connect(watched)
    try:
        for number in range(1, 6):
            assert (await two.read(1))[0] == number - 1
            await writer.execute("INSERT INTO calls (user_id, minutes) VALUES (1, 1)")

            for process in (one, two):

                async def sees_it(process: Process = process, number: int = number) -> bool:
                    return (await process.read(1))[0] == number

                await wait_until(sees_it)
    finally:
        await writer.close()


async def test_rows_that_another_relay_leaves_lying_hide_nothing(shared: Start, watched: str) -> None:
    """Whoever stamped them is gone: when they fill a batch, and in the end in any case, others remove them."""
    process = await shared(batch=3)
    connection = await asyncpg.connect(watched)
    try:
        for user in range(1, 6):
            await process.read(user)
        rows = "INSERT INTO tailrace.outbox (tag) SELECT 'calls:user_id=' || n FROM generate_series(1, 4) n RETURNING 1"
        async with connection.transaction():
            xid = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
            await process.cache.stamps.bump_once((xid, f"calls:user_id={user}") for user in range(1, 5))
            await connection.fetch(rows)
        await connection.execute("INSERT INTO calls (user_id, minutes) VALUES (5, 7)")

        async def sees_it() -> bool:
            return (await process.read(5))[0] == 7

        await wait_until(sees_it)
        await wait_until(lambda: outbox_is_empty(watched))
    finally:
        await connection.close()


async def test_what_a_session_did_not_hear_of_is_stamped_as_well(shared: Start, watched: str) -> None:
    """A trigger that is deferred to the commit writes tags behind the session's back; the relay sees them."""
    connection = await asyncpg.connect(watched)
    try:
        await connection.execute("""
            CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO calls (user_id, minutes) VALUES (2, NEW.minutes);
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER late AFTER INSERT ON calls DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (NEW.user_id = 1) EXECUTE FUNCTION late();
        """)
    finally:
        await connection.close()
    process = await shared()
    for number in range(1, 6):
        await process.read(2)
        await process.write(1, 1)

        async def sees_it(number: int = number) -> bool:
            return (await process.read(2))[0] == number

        await wait_until(sees_it)


async def test_a_process_that_only_watches_trusts_while_another_relays(shared: Start) -> None:
    """With its own relay switched off it sees what the other one stamped, and stops trusting when that one is gone."""
    relaying = await shared()
    watching = await shared(relay=False, bound=0.3)
    await watching.read(1)
    await relaying.write(1, 3)

    async def sees_it() -> bool:
        return (await watching.read(1))[0] == 3

    await wait_until(sees_it)
    await relaying.freshness.aclose()
    await watching.write(1, 1)
    await wait_until(lambda: not watching.freshness.trusted())
    assert (await watching.read(1))[0] == 4


async def test_another_store_that_counts_ends_trust(shared: Start, watched: str) -> None:
    """A process cut off with a store that the others have left does not trust what it sees there."""
    process = await shared(bound=0.2)
    connection = await asyncpg.connect(watched)
    try:
        await connection.execute("UPDATE tailrace.installation SET store_epoch = 'another'")
        await wait_until(lambda: not process.freshness.trusted())
        await connection.execute("INSERT INTO calls (user_id, minutes) VALUES (1, 1)")
        assert not await outbox_is_empty(watched)
    finally:
        await connection.close()
    assert (await process.read(1))[1].status == "bypass"


async def test_a_restored_database_starts_cold(start: Start, watched: str) -> None:
    """Another installation is another database, whatever its address."""
    process = await start()
    await process.read(1)
    before = process.freshness.epoch
    connection = await asyncpg.connect(watched)
    try:
        await connection.execute("UPDATE tailrace.installation SET id = gen_random_uuid()")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace-relay'"
        )
    finally:
        await connection.close()
    await wait_until(lambda: process.freshness.epoch != before)
    await wait_until(process.freshness.trusted)
    assert (await process.read(1))[1].status == "miss"


async def test_a_late_commit_of_an_early_transaction_is_noticed(alone: Start, watched: str) -> None:
    """Following by position misses no row whose transaction began before others and ended after them."""
    process = await alone()
    early = await asyncpg.connect(watched)
    try:
        await early.execute("BEGIN; INSERT INTO calls (user_id, minutes) VALUES (1, 7)")
        for user in range(2, 12):
            await process.write(user, 1)
        await process.read(1)
        await early.execute("COMMIT")

        async def sees_it() -> bool:
            return (await process.read(1))[0] == 7

        await wait_until(sees_it)
    finally:
        await early.close()


async def test_without_tailrace_s_objects_answers_are_computed(database_url: str) -> None:
    """A database that was never prepared is said so, and nothing is cached wrongly."""
    freshness = DatabaseFreshness(database_url)
    store = MemoryStore()
    cache = Cache(store, freshness=freshness)
    freshness.attach(cache)
    await freshness.start()
    await wait_until(lambda: freshness.problem is not None and "schema apply" in freshness.problem)
    assert not freshness.trusted()
    await freshness.aclose()
    await cache.aclose()


async def test_a_fence_without_the_database_is_refused_and_no_error(alone: Start, postgres: PostgresServer) -> None:
    """Many who ask at once, in the middle of a failure: each is told, none meets a foreign error, and it passes."""
    process = await alone()
    postgres.kill()
    try:
        assert set(await asyncio.gather(*[process.freshness.fence() for _ in range(20)])) == {False}
    finally:
        postgres.start()
    await wait_until(process.freshness.fence)


async def test_clients_that_leave_during_a_fence_disturb_no_pass(alone: Start) -> None:
    """Whoever waits for a pass may be cancelled at any moment; the next one gets its answer."""
    process = await alone()
    for turns in range(40):
        leaving = asyncio.create_task(process.freshness.fence())
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await process.freshness.fence()
    assert process.freshness.problem is None


async def test_a_connection_that_breaks_inside_the_driver_is_made_again(
    alone: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg raises some errors past SQLAlchemy; the passes go on over another connection all the same."""
    process = await alone()
    followed = process.freshness._pass
    assert followed is not None
    run, broken = followed.run, asyncio.Event()

    async def break_once(*given: Any) -> Pass:
        if not broken.is_set():
            broken.set()
            raise asyncpg.InternalClientError("got result for unknown protocol state 3")
        return await run(*given)

    monkeypatch.setattr(followed, "run", break_once)
    await broken.wait()
    await wait_until(process.freshness.fence)


async def test_following_begins_anew_in_a_database_that_went_back(alone: Start, watched: str) -> None:
    """After a failover that lost transactions, commits with smaller numbers than those seen before are noticed."""
    process = await alone()
    followed = process.freshness._pass
    assert isinstance(followed, Follower)
    connection = await asyncpg.connect(watched)
    try:
        before = process.freshness.epoch
        followed._snapshot = "9000000:9000000:"  # as far as the lost primary had come
        await connection.execute("UPDATE tailrace.installation SET id = gen_random_uuid()")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace-relay'"
        )
        await wait_until(lambda: process.freshness.epoch != before and process.freshness.trusted())
        await process.read(1)
        await connection.execute("INSERT INTO calls (user_id, minutes) VALUES (1, 5)")

        async def sees_it() -> bool:
            return (await process.read(1))[0] == 5

        await wait_until(sees_it)
    finally:
        await connection.close()


async def test_a_write_that_was_not_stamped_ends_trust_until_a_pass_has_seen_it(shared: Start) -> None:
    """Not even a client without a token, on the writer's own process, reads past it."""
    process = await shared()
    await process.read(1)

    class Refusing(Stamps):
        async def bump_once(self, written: Iterable[tuple[int, str]]) -> tuple[str, list[bool]]:
            raise StoreUnavailableError("for a moment")

    stamps = process.cache.stamps
    process.cache.stamps = Refusing(process.store, process.cache.keyspace, ttl=60, random_bytes=os.urandom)
    await process.write(1, 5)
    process.cache.stamps = stamps
    assert (await process.read(1))[0] == 5
    await wait_until(process.freshness.trusted)
    assert (await process.read(1))[0] == 5


async def test_rows_are_removed_under_the_store_that_counts_or_not_at_all(shared: Start, watched: str) -> None:
    """Another store cannot be claimed while rows are removed, and once it is, none are for the old one."""
    engine = make_relay_engine(watched, DatabaseSettings())
    async with engine.connect() as one, engine.connect() as two:
        async with outbox.transaction(one):
            await outbox.claim_store(one, "old")
        writer = await asyncpg.connect(watched)
        await writer.execute("INSERT INTO calls (user_id, minutes) VALUES (1, 5), (2, 5)")
        await writer.close()
        rows = (await outbox.look(one, most=10)).rows

        async def claim() -> None:
            async with outbox.transaction(two):
                await outbox.claim_store(two, "new")

        async with outbox.transaction(one):
            assert await outbox.remove(one, rows[:1], "old") == {rows[0].id}
            claiming = asyncio.create_task(claim())
            await wait_until(lambda: waits_for_a_lock(watched))
            assert not claiming.done()
        await claiming
        async with outbox.transaction(one):
            assert await outbox.remove(one, rows[1:], "old") == frozenset()
            assert await outbox.remove(one, rows[1:], "new") == {row.id for row in rows[1:]}
    await engine.dispose()


async def waits_for_a_lock(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    finally:
        await connection.close()


def test_own_commits_count_in_the_life_they_were_stamped_in() -> None:
    """Another store has not seen the stamps; another database gives the number to another transaction."""
    own = OwnCommits()
    own.add("life one", 7, "calls")
    assert own.has("life one", 7, "calls")
    assert not own.has("life one", 7, "agents")
    assert not own.has("life two", 7, "calls")
    assert not own.has(None, 7, "calls")
