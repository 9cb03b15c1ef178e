"""Single statements that write: committed, stamped and told of as a session does it, in half the round trips."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import bindparam, column, event, false, insert, select, table, text, update
from sqlalchemy.util import await_only
from tests.integration.db.conftest import Heard

from tailrace.cache.consistency import ReadContext
from tailrace.db import Database, compiled_statements
from tailrace.errors import ConstraintError, DatabaseUnavailableError
from tailrace.settings import DatabaseSettings
from tailrace.testing.breaking_line import BreakingLine

CALLS = table("calls", column("id"), column("user_id"), column("minutes"))
_written = (
    insert(CALLS)
    .values(user_id=bindparam("user"), minutes=bindparam("minutes"))
    .returning(CALLS.c.user_id, CALLS.c.minutes)
    .cte("written")
)
WRITE = select(*_written.c)
COUNT = text("SELECT count(*) AS n FROM calls")


@pytest.fixture(params=["as it comes", "kept"])
async def database(
    request: pytest.FixtureRequest, database: Database, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> Database:
    """The same however a statement gets to the driver."""
    if request.param == "kept":
        monkeypatch.setattr(compiled_statements, "USES", 1)
        await database.write(select(*update(CALLS).where(false()).values(minutes=0).returning(CALLS.c.id).cte().c))
        assert heard.commits == []
    return database


async def count(database: Database) -> int:
    return int((await database.fetch(COUNT))[0].n)


async def test_it_is_stamped_once(database: Database, heard: Heard, reads: ReadContext) -> None:
    """Exactly the tags of each statement, under its transaction's id; its rows are what it gave."""
    for turn in (1, 2):
        assert await database.write(WRITE, {"user": turn, "minutes": 7}) == [(turn, 7)]
        assert heard.commits[turn - 1 :] == [(frozenset({f"calls:user_id={turn}"}), 1)]
    assert (reads.writing, reads.wrote, reads.wrote_unstamped, reads.bypass) == (0, True, False, False)
    assert await count(database) == 2


async def test_nobody_is_told_before_it_is_stamped(database: Database, heard: Heard, reads: ReadContext) -> None:
    """Cut off in between it is committed, and its client is sent past the cache."""
    heard.gate = asyncio.Event()
    task = asyncio.create_task(database.write(WRITE, {"user": 1, "minutes": 1}))
    async with asyncio.timeout(10):
        while not heard.commits:
            await asyncio.sleep(0)
    assert not task.done()
    assert reads.writing == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (reads.wrote, reads.wrote_unstamped, reads.bypass, reads.writing) == (True, True, True, 0)
    assert await count(database) == 1


async def test_stamps_that_cannot_be_replaced_are_not_taken_for_replaced(
    database: Database, heard: Heard, reads: ReadContext
) -> None:
    """The store is away: the write counts, its client bypasses."""
    heard.answer = False
    assert await database.write(WRITE, {"user": 1, "minutes": 1}) == [(1, 1)]
    assert (reads.wrote_unstamped, reads.bypass) == (True, True)


async def test_what_is_refused_leaves_no_mark(database: Database, heard: Heard, reads: ReadContext) -> None:
    """A row that breaks a constraint: its error, nobody told, and the request may use the cache."""
    with pytest.raises(ConstraintError):
        await database.write(WRITE, {"user": 1, "minutes": None})
    assert (reads.wrote, reads.wrote_unstamped, reads.bypass, reads.writing) == (False, False, False, 0)
    assert heard.commits == []


async def test_a_database_without_tailrace_s_objects_is_written_to(database_url: str, reads: ReadContext) -> None:
    """There is nothing to read tags from, and nothing is cached from it."""
    database = Database(database_url)
    heard = database.commits = Heard()
    await database.run(lambda session: session.execute(text("CREATE TABLE calls (user_id int, minutes int)")))
    assert [tuple(row) for row in await database.write(WRITE, {"user": 3, "minutes": 1})] == [(3, 1)]
    assert (heard.commits, reads.wrote_unstamped) == ([], False)
    await database.aclose()


async def test_tags_that_can_no_longer_be_read_make_no_failure_of_it(
    watched: str, database: Database, heard: Heard, reads: ReadContext
) -> None:
    """It is committed; the relay has the tags, and its client bypasses until then."""
    await database.write(WRITE, {"user": 1, "minutes": 1})
    connection = await asyncpg.connect(watched)
    await connection.execute("DROP TRIGGER tag_insert ON calls; ALTER SCHEMA tailrace RENAME TO gone")
    await connection.close()
    assert await database.write(WRITE, {"user": 2, "minutes": 1}) == [(2, 1)]
    assert (len(heard.commits), reads.wrote_unstamped, reads.bypass) == (1, True, True)


async def test_a_relay_that_was_quicker_is_not_taken_for_none(
    watched: str, database: Database, heard: Heard, reads: ReadContext
) -> None:
    """Its stamps are in the store, but what this process holds may not know yet: its client bypasses."""
    connection = await asyncpg.connect(watched)

    def relay(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT DISTINCT tag FROM tailrace.outbox"):
            await_only(connection.execute("DELETE FROM tailrace.outbox"))

    event.listen(database.engine.sync_engine, "before_cursor_execute", relay)
    try:
        assert await database.write(WRITE, {"user": 1, "minutes": 1}) == [(1, 1)]
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", relay)
        await connection.close()
    assert (heard.commits, reads.wrote, reads.wrote_unstamped, reads.bypass) == ([], True, True, True)


async def test_a_statement_that_writes_nothing_leaves_no_mark(
    database: Database, heard: Heard, reads: ReadContext
) -> None:
    """No rows, no tags, nothing to doubt."""
    none = update(CALLS).where(CALLS.c.user_id == -1).values(minutes=0).returning(CALLS.c.user_id).cte("none")
    assert await database.write(select(*none.c)) == []
    assert (heard.commits, reads.wrote, reads.wrote_unstamped, reads.bypass) == ([], False, False, False)


async def test_a_line_that_breaks_makes_nothing_twice(watched: str, reads: ReadContext) -> None:
    """What was answered is there once; what was not is an error that says that it may be, and marks the request."""
    address = urlsplit(watched)
    assert address.port is not None
    answered = doubtful = 0
    async with BreakingLine(address.port, 0.2) as line:
        through = watched.replace(f":{address.port}/", f":{line.port}/")
        database = Database(through, settings=DatabaseSettings(pool_size=1, max_overflow=0))
        database.commits = Heard()
        for _ in range(60):
            reads.bypass = reads.wrote_unstamped = False
            try:
                await database.write(WRITE, {"user": 1, "minutes": 1})
                answered += 1
            except DatabaseUnavailableError:
                doubtful += 1
                assert reads.bypass
        assert line.broken > 5
        await database.aclose()
    connection = await asyncpg.connect(watched)
    stored = await connection.fetchval("SELECT count(*) FROM calls")
    await connection.close()
    assert answered > 20
    assert doubtful > 0
    assert answered <= stored <= answered + doubtful


async def test_behind_pgbouncer_it_is_a_transaction(pgbouncer: str, watched: str, reads: ReadContext) -> None:
    """The time limit of its statements is set within it."""
    database = Database(pgbouncer, settings=DatabaseSettings(pgbouncer=True))
    heard = database.commits = Heard()
    rows = await asyncio.gather(*[database.write(WRITE, {"user": n, "minutes": 1}) for n in range(5)])
    assert [tuple(found[0]) for found in rows] == [(n, 1) for n in range(5)]
    assert {tag for tags, _ in heard.commits for tag in tags} == {f"calls:user_id={n}" for n in range(5)}
    assert not reads.wrote_unstamped
    await database.aclose()
