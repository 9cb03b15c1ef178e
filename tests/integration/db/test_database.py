"""Sessions, transactions and their repetition on a real server, directly and through PgBouncer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import datetime
from socket import socket
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.util import await_only
from tests.waiting import wait_until

from tailrace.db import Database, pool
from tailrace.db.liveness import check_on_checkout
from tailrace.db.pool import PoolState
from tailrace.errors import (
    ConflictError,
    ConstraintError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    OutcomeUnknownError,
    PoolTimeoutError,
)
from tailrace.events import (
    ConnectionCheckedIn,
    ConnectionCheckedOut,
    Event,
    PoolMeasured,
    StatementFinished,
    TransactionRetried,
)
from tailrace.settings import DatabaseSettings


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with one small table."""
    made = Database(database_url, settings=DatabaseSettings(pool_size=3, max_overflow=0, pool_timeout=0.2))
    await made.run(lambda s: s.execute(text("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)")))
    await made.run(lambda s: s.execute(text("INSERT INTO t SELECT generate_series(1, 2)")))
    yield made
    await made.aclose()


async def test_run_commits_and_returns(database: Database) -> None:
    """What the work returned, after its commit."""
    await database.run(lambda s: s.execute(text("UPDATE t SET n = 7 WHERE id = 1")))
    assert (await database.fetch(text("SELECT n FROM t WHERE id = 1")))[0].n == 7


async def test_a_failure_rolls_back(database: Database) -> None:
    """Nothing of a transaction whose work raised is kept."""

    async def work(session: AsyncSession) -> None:
        await session.execute(text("UPDATE t SET n = 7"))
        raise LookupError("mine")

    with pytest.raises(LookupError):
        await database.run(work)
    assert (await database.fetch(text("SELECT sum(n) AS n FROM t")))[0].n == 0


async def test_deadlocks_are_repeated_until_both_commit(database: Database) -> None:
    """Two transactions that lock in opposite orders both succeed, and the one that lost ran twice."""
    events: list[Event] = []
    database._observer = events.append
    both = asyncio.Barrier(2)
    met = False

    async def work(session: AsyncSession, first: int, second: int) -> None:
        nonlocal met
        await session.execute(text("UPDATE t SET n = n + 1 WHERE id = :id"), {"id": first})
        if not met:
            await both.wait()
            met = True
        await session.execute(text("UPDATE t SET n = n + 1 WHERE id = :id"), {"id": second})

    await asyncio.gather(
        database.run(lambda s: work(s, 1, 2)),
        database.run(lambda s: work(s, 2, 1)),
    )
    rows = await database.fetch(text("SELECT n FROM t"))
    assert [row.n for row in rows] == [2, 2]
    assert TransactionRetried("default", 1, ConflictError.code) in events


async def test_a_lost_connection_is_repeated_before_the_commit_and_never_during_it(database: Database) -> None:
    """Where nobody can tell whether it was committed, the caller is told."""
    runs = 0

    async def killed_at_work(session: AsyncSession) -> None:
        nonlocal runs
        runs += 1
        await session.execute(text("UPDATE t SET n = n + 1 WHERE id = 1"))
        if runs == 1:
            await terminate(database, session)

    await database.run(killed_at_work)
    assert runs == 2
    assert (await database.fetch(text("SELECT n FROM t WHERE id = 1")))[0].n == 1

    runs = 0

    async def killed_before_commit(session: AsyncSession) -> None:
        nonlocal runs
        runs += 1
        await session.execute(text("UPDATE t SET n = n + 1 WHERE id = 1"))
        around_commit(session, before=lambda: terminate_without_asking(database, session))

    with pytest.raises(OutcomeUnknownError):
        await database.run(killed_before_commit)
    assert runs == 1

    async def committing() -> None:
        async with database.session() as session:
            await killed_before_commit(session)
            await session.commit()

    with pytest.raises(OutcomeUnknownError):
        await committing()


@pytest.mark.parametrize("committed", [False, True])
async def test_what_may_be_done_twice_is_repeated_even_after_its_commit(database: Database, committed: bool) -> None:
    """Whether or not the commit was made that was not heard of: the work runs again, and its effect is there."""
    found: list[int] = []

    async def set_once(session: AsyncSession) -> int:
        changed = await session.execute(text("UPDATE t SET n = 5 WHERE id = 1 AND n <> 5 RETURNING n"))
        found.append(len(changed.all()))
        if len(found) == 1 and committed:
            around_commit(session, after=unheard)
        elif len(found) == 1:
            around_commit(session, before=lambda: terminate_without_asking(database, session))
        return len(found)

    async def unheard() -> None:
        raise DatabaseUnavailableError("the answer to COMMIT was lost")

    assert await database.run(set_once, idempotent=True) == 2
    assert found == ([1, 0] if committed else [1, 1])
    assert (await database.fetch(text("SELECT n FROM t WHERE id = 1")))[0].n == 5


Step = Callable[[], Awaitable[None]]


def around_commit(session: AsyncSession, *, before: Step | None = None, after: Step | None = None) -> None:
    """Let the session's next commit do something just before it, or after it and before its caller hears of it."""
    original = session.sync_session.commit

    def commit() -> None:
        if before is not None:
            await_only(before())
        original()
        if after is not None:
            await_only(after())

    session.sync_session.commit = commit  # type: ignore[method-assign]


async def terminate(database: Database, session: AsyncSession) -> None:
    """Kill the session's server process and meet the loss by a statement."""
    await terminate_without_asking(database, session)
    await session.execute(text("SELECT 1"))


async def terminate_without_asking(database: Database, session: AsyncSession) -> None:
    raw = (await (await session.connection()).get_raw_connection()).driver_connection
    assert raw is not None
    await database.fetch(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": raw.get_server_pid()})


async def test_reading_is_no_transaction_and_outlives_its_connection(database: Database) -> None:
    """Each statement sees what was committed before it; a connection that is lost in between is replaced by another."""
    used: list[int] = []

    async def read(connection: AsyncConnection) -> tuple[datetime, datetime]:
        used.append((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
        first = (await connection.execute(text("SELECT now()"))).scalar_one()
        if len(used) == 1:
            await database.fetch(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": used[0]})
        return first, (await connection.execute(text("SELECT now()"))).scalar_one()

    first, second = await database.read(read)
    assert first != second
    assert len(set(used)) == len(used) == 2


async def test_constraints_are_named(database: Database) -> None:
    """The client's mistake, with the constraint's name and no values."""
    with pytest.raises(ConstraintError) as caught:
        await database.run(lambda s: s.execute(text("INSERT INTO t VALUES (1)")))
    assert (caught.value.kind, caught.value.constraint) == ("unique", "t_pkey")


async def test_a_dry_pool_fails_fast_and_says_so(database: Database) -> None:
    """A request that finds no connection gets an error in the time set, not a hang."""
    async with database.engine.connect(), database.engine.connect(), database.engine.connect():
        with pytest.raises(PoolTimeoutError):
            await database.fetch(text("SELECT 1"))
    await database.ping()


async def test_a_statement_that_takes_too_long_is_cancelled(database_url: str) -> None:
    """By the server, at the time set."""
    database = Database(database_url, settings=DatabaseSettings(statement_timeout=0.1, retry_time=0))
    with pytest.raises(DatabaseTimeoutError):
        await database.fetch(text("SELECT pg_sleep(60)"))
    await database.aclose()


async def test_who_leaves_while_a_statement_runs_leaves_no_connection_behind(database_url: str) -> None:
    """The next one gets the only connection there is, and a connection that answers it."""
    database = Database(database_url, settings=DatabaseSettings(pool_size=1, max_overflow=0))
    for read in (database.fetch, database.execute):
        asking = asyncio.create_task(read(text("SELECT pg_sleep(60)")))
        await wait_until(lambda: database.pool_state().in_use == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert database.pool_state().in_use == 0
        (row,) = await database.fetch(text("SELECT 42"))
        assert row[0] == 42
    await database.aclose()


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_an_unreachable_server_is_unavailable(driver: str) -> None:
    """With neither address nor password in the message."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = Database(f"{driver}://u:hidden@127.0.0.1:{port}/d", settings=DatabaseSettings(retry_time=0))
    with pytest.raises(DatabaseUnavailableError) as caught:
        await database.ping()
    assert "hidden" not in str(caught.value)
    await database.aclose()


async def test_figures_of_the_pool_are_events(database_url: str) -> None:
    """Waits, holds, use and statements, when somebody watches."""
    events: list[Event] = []
    database = Database(database_url, settings=DatabaseSettings(pool_size=2, max_overflow=1), observer=events.append)
    await database.ping()
    await database.aclose()
    kinds = {type(event) for event in events}
    assert {ConnectionCheckedOut, ConnectionCheckedIn, PoolMeasured, StatementFinished} <= kinds
    assert all(event.limit == 3 for event in events if isinstance(event, PoolMeasured))
    assert any(event.operation == "SELECT" for event in events if isinstance(event, StatementFinished))


async def test_connections_opened_under_load_stay_as_long_as_it_does(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More who ask than the pool keeps open have the same connections again and again; when it is over, they go."""
    database = Database(database_url, settings=DatabaseSettings(pool_size=1, max_overflow=3))

    async def at_once() -> set[int]:
        rows = await asyncio.gather(
            *[database.fetch(text("SELECT pg_backend_pid(), pg_sleep(0.05)")) for _ in range(4)]
        )
        return {found[0][0] for found in rows}

    first = await at_once()
    assert len(first) == 4
    for _ in range(3):
        assert await at_once() == first
    assert database.pool_state() == PoolState(in_use=0, idle=4, limit=4, waiting=0)
    monkeypatch.setattr(pool, "SPARE", 0.0)
    for idle in (3, 2, 1, 1):
        await database.ping()
        assert database.pool_state() == PoolState(in_use=0, idle=idle, limit=4, waiting=0)
    assert len(await at_once()) == 4
    await database.aclose()


async def test_connections_that_the_server_closed_are_never_noticed(database: Database) -> None:
    """After every connection was terminated, the next reads and writes succeed on new ones."""
    await asyncio.gather(*[database.ping() for _ in range(3)])
    own = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    await database.fetch(text(own + "pg_backend_pid()"))
    rows = await asyncio.gather(*[database.fetch(text("SELECT n FROM t WHERE id = 1")) for _ in range(6)])
    assert [found[0].n for found in rows] == [0] * 6
    await database.run(lambda session: session.execute(text("UPDATE t SET n = 1 WHERE id = 1")))


async def test_a_rested_connection_is_tested_before_it_is_handed_out(database_url: str) -> None:
    """One whose server went away without a word is replaced, at the price of a round trip after a rest only."""
    database = Database(database_url, settings=DatabaseSettings(pre_ping=False))
    engine = database.engine.sync_engine
    now, pings, ping = 1000.0, 0, engine.dialect.do_ping

    def counted(connection: Any) -> bool:
        nonlocal pings
        pings += 1
        return ping(connection)

    engine.dialect.do_ping = counted  # type: ignore[method-assign]
    check_on_checkout(engine, lambda: now)
    await database.ping()
    await database.ping()
    assert pings == 0
    now += 6
    await database.ping()
    assert pings == 1
    await database.aclose()
