"""Every way to write through a session: stamped once, its request marked while it lasts and never longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import column, event, insert, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tests.integration.db.conftest import Heard

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.db import Database
from tailrace.events import Event, StatementFinished
from tailrace.settings import DatabaseSettings

INSERT = text("INSERT INTO calls (user_id, minutes) VALUES (:user, 1)")
CALLS = table("calls", column("id"), column("user_id"), column("minutes"))


class Base(DeclarativeBase):
    """Of the mapped class below."""


class Call(Base):
    """A row of the watched table."""

    __tablename__ = "calls"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    minutes: Mapped[int]


async def plain(session: AsyncSession) -> None:
    await session.execute(INSERT, {"user": 1})
    await session.commit()


async def by_block(session: AsyncSession) -> None:
    async with session.begin():
        await session.execute(INSERT, {"user": 1})


async def before_a_savepoint(session: AsyncSession) -> None:
    await session.execute(INSERT, {"user": 1})
    async with session.begin_nested():
        await session.execute(text("SELECT 1"))
    await session.commit()


async def within_a_savepoint_left_open(session: AsyncSession) -> None:
    await session.begin_nested()
    await session.execute(INSERT, {"user": 1})
    await session.commit()
    if session.in_transaction():
        await session.commit()


async def after_a_savepoint_rolled_back(session: AsyncSession) -> None:
    nested = await session.begin_nested()
    await session.execute(INSERT, {"user": 2})
    await nested.rollback()
    await session.execute(INSERT, {"user": 1})
    await session.commit()


async def by_its_connection(session: AsyncSession) -> None:
    await (await session.connection()).execute(INSERT, {"user": 1})
    await session.commit()


async def by_driver_sql(session: AsyncSession) -> None:
    await (await session.connection()).exec_driver_sql(
        "/* a note */ INSERT INTO calls (user_id, minutes) VALUES (1, 1)"
    )
    await session.commit()


async def by_a_flush_at_commit(session: AsyncSession) -> None:
    session.add(Call(user_id=1, minutes=1))
    await session.commit()


async def by_a_listener_before_commit(session: AsyncSession) -> None:
    def add(sync: Session) -> None:
        sync.add(Call(user_id=1, minutes=1))

    event.listen(session.sync_session, "before_commit", add, once=True)
    await session.execute(text("SELECT 1"))
    await session.commit()


async def in_bulk(session: AsyncSession) -> None:
    await session.execute(insert(Call), [{"user_id": 1, "minutes": n} for n in range(5)])
    await session.commit()


async def by_a_select_with_a_writing_part(session: AsyncSession) -> None:
    wrote = insert(CALLS).values(user_id=1, minutes=1).returning(CALLS.c.id).cte("wrote")
    await session.execute(select(wrote))
    await session.commit()


async def by_textual_with(session: AsyncSession) -> None:
    await session.execute(
        text("WITH w AS (INSERT INTO calls (user_id, minutes) VALUES (1, 1) RETURNING id) SELECT * FROM w")
    )
    await session.commit()


async def by_explain_analyze(session: AsyncSession) -> None:
    await session.execute(text("EXPLAIN ANALYZE INSERT INTO calls (user_id, minutes) VALUES (1, 1)"))
    await session.commit()


WAYS: list[Callable[[AsyncSession], Awaitable[None]]] = [
    plain,
    by_block,
    before_a_savepoint,
    within_a_savepoint_left_open,
    after_a_savepoint_rolled_back,
    by_its_connection,
    by_driver_sql,
    by_a_flush_at_commit,
    by_a_listener_before_commit,
    in_bulk,
    by_a_select_with_a_writing_part,
    by_textual_with,
    by_explain_analyze,
]


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_commit_is_stamped_once(
    database: Database, heard: Heard, reads: ReadContext, way: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    """Exactly the committed tags, under one transaction id; afterwards the request may use the cache again."""
    async with database.session() as session:
        await way(session)
        assert heard.commits == [(frozenset({"calls:user_id=1"}), 1)]
        assert (reads.writing, reads.wrote, reads.wrote_unstamped) == (0, True, False)
        await session.execute(INSERT, {"user": 3})
        await session.commit()
        assert heard.commits[1:] == [(frozenset({"calls:user_id=3"}), 1)]


async def test_reading_transactions_cost_nothing_more(watched: str) -> None:
    """Neither a look at the outbox nor a token: not for a savepoint, a WITH, or a SELECT in parentheses."""
    events: list[Event] = []
    database = Database(watched, settings=DatabaseSettings(pool_size=1, pre_ping=False), observer=events.append)
    database.commits = Heard()
    await database.ping()
    events.clear()
    async with database.session() as session:
        async with session.begin_nested():
            await session.execute(text("WITH w AS (SELECT 1 AS deleted_at) SELECT * FROM w"))
        await session.execute(text("(SELECT 1) UNION (SELECT 2)"))
        await session.commit()
    finished = [event for event in events if isinstance(event, StatementFinished)]
    assert len(finished) == 4  # SAVEPOINT, both SELECTs, RELEASE
    assert database.commits.commits == []
    await database.aclose()


@pytest.mark.parametrize("end", ["rollback", "close", "error"])
async def test_what_does_not_commit_leaves_no_mark(
    database: Database, heard: Heard, reads: ReadContext, end: str
) -> None:
    """However the transaction ends, the request may use the cache again; nobody is told of a commit."""
    async with database.session() as session:
        await session.execute(INSERT, {"user": 1})
        assert reads.writing == 1
        if end == "rollback":
            await session.rollback()
        elif end == "close":
            await session.close()
        else:
            with pytest.raises(Exception, match="zero"):
                await session.execute(text("SELECT 1/0"))
            await session.rollback()
        assert reads.writing == 0
    assert not reads.wrote
    assert heard.commits == []


async def test_sessions_side_by_side_do_not_end_each_other_s_marks(database: Database, reads: ReadContext) -> None:
    """While one transaction of the request still writes, the end of another does not give the cache back."""
    async with database.session() as one, database.session() as two:
        await one.execute(INSERT, {"user": 1})
        await two.execute(INSERT, {"user": 2})
        await two.commit()
        assert reads.writing == 1
        await one.commit()
        assert reads.writing == 0


async def test_a_session_outside_requests_does_not_read_past_its_writes(database: Database) -> None:
    """A worker has no request, yet inside its transaction the cache is bypassed, and afterwards it is not."""
    assert current_reads.get() is None
    async with database.session() as session:
        await session.execute(INSERT, {"user": 1})
        inside = current_reads.get()
        assert inside is not None
        assert inside.writing == 1
    assert current_reads.get() is None


async def test_a_commit_cut_off_while_it_is_stamped_marks_the_request(
    database: Database, heard: Heard, reads: ReadContext
) -> None:
    """Cancelled between commit and stamps: committed, not counted as stamped, and nothing is left marked."""
    heard.gate = asyncio.Event()
    task = asyncio.create_task(database.run(lambda session: session.execute(INSERT, {"user": 1})))
    async with asyncio.timeout(10):
        while not heard.commits:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (reads.wrote, reads.wrote_unstamped, reads.writing) == (True, True, 0)
    assert (await database.fetch(text("SELECT count(*) AS n FROM calls")))[0].n == 1


async def test_without_tailrace_s_objects_commits_work(database_url: str, reads: ReadContext) -> None:
    """A database that was never prepared, or is prepared while the process runs."""
    database = Database(database_url)
    heard = database.commits = Heard()
    await database.run(lambda session: session.execute(text("CREATE TABLE plain (id int)")))
    await database.run(lambda session: session.execute(text("INSERT INTO plain VALUES (1)")))
    assert (await database.fetch(text("SELECT count(*) AS n FROM plain")))[0].n == 1
    assert (heard.commits, reads.wrote_unstamped) == ([], False)
    await database.aclose()


async def test_a_role_without_rights_commits_and_its_clients_bypass(
    watched: str, database: Database, heard: Heard, reads: ReadContext
) -> None:
    """Its tags are the relay's to find; until then its client is sent past the cache."""
    connection = await asyncpg.connect(watched)
    await connection.execute("""
        DO $$ BEGIN CREATE ROLE tailrace_test_poor; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        ALTER TABLE calls SET SCHEMA public;
        GRANT USAGE ON SCHEMA public TO tailrace_test_poor;
        GRANT INSERT ON public.calls TO tailrace_test_poor;
        ALTER FUNCTION tag_calls() SECURITY DEFINER;
    """)
    await connection.close()
    async with database.session() as session, session.begin():
        await session.execute(text("SET LOCAL ROLE tailrace_test_poor"))
        await session.execute(INSERT, {"user": 1})
    assert (await database.fetch(text("SELECT count(*) AS n FROM calls")))[0].n == 1
    assert (heard.commits, reads.wrote_unstamped, reads.writing) == ([], True, 0)
