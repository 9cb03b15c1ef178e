"""Writes that arrive together: one statement and one commit, and for each caller what a write of its own would give."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.integration.db.conftest import Heard
from tests.integration.db.grouped_calls import CALL
from tests.waiting import wait_until

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.db import Database
from tailrace.db.group_commit import MOST_AT_ONCE
from tailrace.errors import ConstraintError, DatabaseError, DatabaseUnavailableError, PoolTimeoutError
from tailrace.settings import DatabaseSettings
from tailrace.testing.breaking_line import BreakingLine

STORED = text("SELECT user_id FROM calls ORDER BY id")
TOO_LARGE = 2**40


async def stored(database: Database) -> list[int]:
    return [row.user_id for row in await database.fetch(STORED)]


def request(database: Database, user: int, minutes: Any = 1) -> tuple[asyncio.Task[Any], ReadContext]:
    """A write in a request of its own."""
    reads = ReadContext()

    async def write() -> Any:
        current_reads.set(reads)
        return await database.write_grouped(CALL, {"user": user, "minutes": minutes})

    return asyncio.create_task(write()), reads


async def outcome(task: asyncio.Task[Any]) -> Any:
    """Its rows, or what it failed with."""
    return (await asyncio.gather(task, return_exceptions=True))[0]


@asynccontextmanager
async def in_the_way(url: str, statement: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Until the end of the block ``statement`` is open; what is yielded returns when one more waits for its locks."""
    holder, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
    known = 0

    async def one_more() -> None:
        nonlocal known
        known += 1

        async def waits() -> bool:
            return bool(await watcher.fetchval("SELECT count(*) >= $1 FROM pg_locks WHERE NOT granted", known))

        await wait_until(waits)

    try:
        async with holder.transaction():
            await holder.execute(statement)
            yield one_more
    finally:
        await holder.close()
        await watcher.close()


LOCKED = "LOCK TABLE calls IN EXCLUSIVE MODE"


async def test_who_comes_alone_waits_for_nobody(database: Database, heard: Heard) -> None:
    """One after another each is a commit, told of before its caller is."""
    for user in (1, 2):
        task, reads = request(database, user)
        assert await task == [(user, 1)]
        assert heard.commits[user - 1 :] == [(frozenset({f"calls:user_id={user}"}), 1)]
        assert (reads.writing, reads.wrote, reads.wrote_unstamped, reads.bypass) == (0, True, False, False)


async def test_who_comes_meanwhile_is_written_together(database: Database, heard: Heard) -> None:
    """Each gets its own row, from one commit for all, in the order in which they came."""
    heard.gate = asyncio.Event()
    first, _ = request(database, 0)
    await wait_until(lambda: bool(heard.commits))
    many = [request(database, user) for user in range(1, 21)]
    await asyncio.sleep(0)
    heard.gate.set()
    assert [await task for task, _ in many] == [[(user, 1)] for user in range(1, 21)]
    assert await first == [(0, 1)]
    assert [len(tags) for tags, _ in heard.commits] == [1, 20]
    assert await stored(database) == list(range(21))
    assert all((reads.wrote, reads.writing, reads.bypass) == (True, 0, False) for _, reads in many)


async def test_the_next_ones_begin_when_those_before_are_committed(database: Database, heard: Heard) -> None:
    """While stamps are being replaced nobody waits for a turn, as many as there may be at once; all are told behind."""
    heard.gate = asyncio.Event()
    callers = []
    for user in range(MOST_AT_ONCE):
        callers.append(request(database, user))
        await wait_until(lambda: len(heard.commits) == len(callers))
    late = [request(database, MOST_AT_ONCE + user) for user in range(3)]
    assert await stored(database) == list(range(MOST_AT_ONCE))
    assert not any(task.done() for task, _ in callers)
    heard.gate.set()
    found = [await task for task, _ in callers + late]
    assert found == [[(user, 1)] for user in range(MOST_AT_ONCE + 3)]
    assert [len(tags) for tags, _ in heard.commits] == [1] * MOST_AT_ONCE + [3]
    assert await stored(database) == list(range(MOST_AT_ONCE + 3))


async def test_nobody_is_told_before_all_are_stamped(database: Database, heard: Heard) -> None:
    """One that is cut off meanwhile is sent past the cache; the others do not notice."""
    heard.gate = asyncio.Event()
    callers = [request(database, user) for user in range(3)]
    await wait_until(lambda: bool(heard.commits))
    assert not any(task.done() for task, _ in callers)
    cut, its_reads = callers[1]
    cut.cancel()
    assert isinstance(await outcome(cut), asyncio.CancelledError)
    assert (its_reads.wrote, its_reads.wrote_unstamped, its_reads.bypass) == (True, True, True)
    heard.gate.set()
    assert [await callers[user][0] for user in (0, 2)] == [[(0, 1)], [(2, 1)]]
    assert not callers[0][1].bypass
    assert await stored(database) == [0, 1, 2]


async def test_who_leaves_before_its_turn_writes_nothing(watched: str, database: Database, heard: Heard) -> None:
    """And is not in doubt about it."""
    async with in_the_way(watched, LOCKED) as one_more_waits:
        first, _ = request(database, 0)
        await one_more_waits()
        (leaving, its_reads), (staying, _) = request(database, 1), request(database, 2)
        await asyncio.sleep(0)
        leaving.cancel()
        assert isinstance(await outcome(leaving), asyncio.CancelledError)
        assert (its_reads.wrote, its_reads.bypass, its_reads.writing) == (False, False, 0)
    assert [await first, await staying] == [[(0, 1)], [(2, 1)]]
    assert await stored(database) == [0, 2]


@pytest.mark.parametrize(("minutes", "kind"), [(None, ConstraintError), (TOO_LARGE, DBAPIError), (object(), Exception)])
async def test_what_is_refused_is_refused_alone(
    database: Database, heard: Heard, minutes: Any, kind: type[Exception]
) -> None:
    """A row that breaks a constraint, that does not fit, that cannot even be sent: its caller's error alone."""
    callers = [request(database, user, minutes if user in (3, 4, 11) else 1) for user in range(13)]
    found = [await outcome(task) for task, _ in callers]
    for user, (reads, each) in enumerate(zip([reads for _, reads in callers], found, strict=True)):
        if user in (3, 4, 11):
            assert isinstance(each, kind)
            assert (reads.wrote, reads.bypass, reads.writing) == (False, False, 0)
        else:
            assert each == [(user, 1)]
            assert (reads.wrote, reads.bypass) == (True, False)
    assert await stored(database) == [user for user in range(13) if user not in (3, 4, 11)]
    assert {tag for tags, _ in heard.commits for tag in tags} == {f"calls:user_id={n}" for n in await stored(database)}


async def test_stamps_that_cannot_be_replaced_are_not_taken_for_replaced(database: Database, heard: Heard) -> None:
    """The store is away: the writes count, all their clients bypass."""
    heard.answer = False
    callers = [request(database, user) for user in range(3)]
    assert [await task for task, _ in callers] == [[(user, 1)] for user in range(3)]
    assert all((reads.wrote_unstamped, reads.bypass) == (True, True) for _, reads in callers)


async def test_who_waits_for_a_lock_holds_up_only_those_that_came_with_it(watched: str, database: Database) -> None:
    """A row in the way of an open transaction: later ones are written meanwhile."""
    await database.run(lambda session: session.execute(text("CREATE UNIQUE INDEX ON calls (user_id)")))
    async with in_the_way(watched, "INSERT INTO calls (user_id, minutes) VALUES (7, 1)") as one_more_waits:
        held_up = [request(database, user)[0] for user in (7, 8)]
        await one_more_waits()
        assert await request(database, 9)[0] == [(9, 1)]
        assert not any(task.done() for task in held_up)
    assert isinstance(await outcome(held_up[0]), ConstraintError)
    assert await held_up[1] == [(8, 1)]


async def test_a_turn_is_not_waited_for_longer_than_a_connection(watched: str) -> None:
    """When so many are held up that no more may follow, who comes has its error in time and writes nothing."""
    database = Database(watched, settings=DatabaseSettings(pool_timeout=3))
    async with in_the_way(watched, LOCKED) as one_more_waits:
        held_up: list[asyncio.Task[Any]] = []
        for user in range(4):
            held_up.append(request(database, user)[0])
            await one_more_waits()
        late, reads = request(database, 9)
        assert isinstance(await outcome(late), PoolTimeoutError)
        assert (reads.wrote, reads.bypass, reads.writing) == (False, False, 0)
    assert [await task for task in held_up] == [[(user, 1)] for user in range(4)]
    assert sorted(await stored(database)) == [0, 1, 2, 3]
    await database.aclose()


async def test_a_line_that_breaks_makes_nothing_twice(watched: str) -> None:
    """What was answered is there once; what was not is an error that says that it may be, and marks the request."""
    address = urlsplit(watched)
    assert address.port is not None
    async with BreakingLine(address.port, 0.2) as line:
        through = watched.replace(f":{address.port}/", f":{line.port}/")
        database = Database(through, settings=DatabaseSettings(pool_size=2, max_overflow=2))
        database.commits = Heard()
        answered, doubtful = set(), set()
        for turn in range(40):
            callers = {number: request(database, number) for number in range(turn * 5, turn * 5 + 5)}
            for number, (task, reads) in callers.items():
                found = await outcome(task)
                if isinstance(found, DatabaseUnavailableError):
                    doubtful.add(number)
                    assert reads.bypass
                else:
                    assert found == [(number, 1)]
                    answered.add(number)
        assert line.broken > 5
        await database.aclose()
    connection = await asyncpg.connect(watched)
    there = [row[0] for row in await connection.fetch("SELECT user_id FROM calls")]
    await connection.close()
    assert len(there) == len(set(there))
    assert answered <= set(there) <= answered | doubtful
    assert answered
    assert doubtful


async def test_behind_pgbouncer_it_is_a_transaction(pgbouncer: str, watched: str) -> None:
    """The time limit of its statements is set within it; what is refused is refused alone there, too."""
    database = Database(pgbouncer, settings=DatabaseSettings(pgbouncer=True))
    heard = database.commits = Heard()
    callers = [request(database, user, None if user == 2 else 1) for user in range(5)]
    found = [await outcome(task) for task, _ in callers]
    assert isinstance(found.pop(2), ConstraintError)
    assert found == [[(user, 1)] for user in (0, 1, 3, 4)]
    assert {tag for tags, _ in heard.commits for tag in tags} == {f"calls:user_id={n}" for n in (0, 1, 3, 4)}
    assert [reads.wrote for _, reads in callers] == [True, True, False, True, True]
    await database.aclose()


async def test_closing_waits_for_what_is_under_way(watched: str) -> None:
    """A caller that has left does not make its statement an orphan."""
    database = Database(watched)
    async with in_the_way(watched, LOCKED) as one_more_waits:
        task, _ = request(database, 1)
        await one_more_waits()
        task.cancel()
        await outcome(task)
        closing = asyncio.create_task(database.aclose())
    await closing
    again = Database(watched)
    assert await stored(again) == [1]
    await again.aclose()


async def test_a_process_that_is_killed_leaves_nothing_half_written(watched: str, tmp_path: Path) -> None:
    """Two processes write, one dies: whoever was told has its row once, and all tags are there to be relayed."""
    script = Path(__file__).with_name("grouped_calls.py")

    async def start(number: int) -> asyncio.subprocess.Process:
        with (tmp_path / f"{number}").open("wb") as told:
            return await asyncio.create_subprocess_exec(sys.executable, str(script), watched, str(number), stdout=told)

    def told(number: int) -> Sequence[int]:
        lines = (tmp_path / f"{number}").read_text().split("\n")
        return [int(line) for line in lines[:-1]]  # the last may be half a line

    dying, living = await start(1), await start(2)
    await wait_until(lambda: len(told(1)) > 50, timeout=60)
    dying.kill()
    await dying.wait()
    assert await living.wait() == 0
    connection = await asyncpg.connect(watched)
    there = [row[0] for row in await connection.fetch("SELECT user_id FROM calls")]
    tagged = {row[0] for row in await connection.fetch("SELECT tag FROM tailrace.outbox")}
    await connection.close()
    assert len(there) == len(set(there))
    assert set(told(1)) | set(told(2)) <= set(there)
    assert tagged == {f"calls:user_id={user}" for user in there}


async def test_a_failure_of_all_is_everybody_s(database_url: str) -> None:
    """No server: each has the error, once, and nobody tries for everybody else."""
    address = urlsplit(database_url)
    nobody = database_url.replace(f":{address.port}/", ":1/")
    database = Database(nobody, settings=DatabaseSettings(retry_time=0))
    found = [await outcome(request(database, user)[0]) for user in range(3)]
    assert all(isinstance(each, DatabaseError) for each in found)
    await database.aclose()
