"""PgBouncer is paused, reloaded, told to reconnect and restarted under load: nobody is told what is not so, and all is
well afterwards without anybody's doing."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.pooling import Pooler, pooler
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.errors import DatabaseUnavailableError, OutcomeUnknownError
from tailrace.settings import DatabaseSettings

DRIVERS = ["postgresql", "postgresql+psycopg"]
POOL = 4
SETTINGS = DatabaseSettings(pgbouncer=True, pool_size=POOL, max_overflow=0, statement_timeout=30, pool_timeout=30)
BEFORE = 20
"""Answers that there are before something is done to PgBouncer, and again after it."""

Operation = Callable[[Pooler, Callable[[], int]], Awaitable[None]]


async def paused(running: Pooler, answered: Callable[[], int]) -> None:
    """PAUSE, until everybody waits for it, and RESUME."""
    await running.tell("PAUSE")
    before = -1

    def still() -> bool:
        nonlocal before
        now, last = answered(), before
        before = now
        return now == last

    await wait_until(still)
    await running.tell("RESUME")


async def reloaded(running: Pooler, answered: Callable[[], int]) -> None:
    """RELOAD, as after a change of its configuration, again and again."""
    for _ in range(5):
        await running.tell("RELOAD")


async def reconnected(running: Pooler, answered: Callable[[], int]) -> None:
    """RECONNECT, as after the server has moved: its connections are replaced between transactions."""
    await running.tell("RECONNECT")


async def killed_servers(running: Pooler, answered: Callable[[], int]) -> None:
    """KILL and RESUME: all connections to and through it are cut, in the middle of whatever they do."""
    name = running.url.rpartition("/")[2]
    await running.tell(f"KILL {name}")
    await running.tell(f"RESUME {name}")


async def restarted(running: Pooler, answered: Callable[[], int]) -> None:
    """Ended at once and started again at the same port."""
    running.end()
    running.start()


async def crashed(running: Pooler, answered: Callable[[], int]) -> None:
    """Killed and started again."""
    running.end(signal.SIGKILL)
    running.start()


class Load:
    """Writers and readers that go on until they are told to stop, and what they were told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = False
        self._next = 0
        self.written: dict[int, str] = {}
        """Each number that was to be written: ``done``, ``unknown`` or ``refused``."""
        self.wrong: list[str] = []
        self.answers = 0

    async def write(self) -> None:
        while not self._stopping:
            self._next += 1
            number = self._next

            async def insert(session: AsyncSession, number: int = number) -> None:
                await session.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})

            self.written[number] = "unknown"
            try:
                await self._database.run(insert)
                self.written[number] = "done"
                self.answers += 1
            except OutcomeUnknownError:
                pass
            except DatabaseUnavailableError:
                self.written[number] = "refused"
            await asyncio.sleep(0)

    async def read(self) -> None:
        while not self._stopping:
            self._next += 1
            number = self._next
            try:
                [row] = await self._database.fetch(text("SELECT CAST(:n AS int) AS n, pg_sleep(0.002)"), {"n": number})
                self.answers += 1
                if row.n != number:
                    self.wrong.append(f"{row.n} for {number}")
            except DatabaseUnavailableError:
                await asyncio.sleep(0)

    async def through(self, operation: Operation, running: Pooler) -> None:
        """Let it go on before, during and after."""
        working = [asyncio.create_task(work()) for work in (self.write, self.read) * POOL]
        try:
            await wait_until(lambda: self.answers >= BEFORE)
            await operation(running, lambda: self.answers)
            after = self.answers + BEFORE
            await wait_until(lambda: self.answers >= after)
        finally:
            self._stopping = True
            await asyncio.gather(*working)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("operation", [paused, reloaded, reconnected, killed_servers, restarted, crashed])
async def test_whatever_is_done_to_pgbouncer(
    database_url: str, server_folder: Path, driver: str, operation: Operation
) -> None:
    """No read gets another's answer; what was written is there once, what was refused is not; nobody's connection is
    kept from the pool; who is not cut off is not told to come again."""
    # What breaks off PgBouncer's own login, as RECONNECT may, has it refuse everybody for that long: 15 s, unless told.
    with pooler(database_url, server_folder, ["default_pool_size = 2", "server_login_retry = 1"]) as running:
        async with AsyncExitStack() as stack:
            direct = await asyncpg.connect(database_url)
            stack.push_async_callback(direct.close)
            await direct.execute("CREATE TABLE t (n int)")
            database = Database(running.url.replace("postgresql", driver, 1), settings=SETTINGS)
            stack.push_async_callback(database.aclose)
            load = Load(database)
            await load.through(operation, running)
            assert load.wrong == []
            found = Counter(row["n"] for row in await direct.fetch("SELECT n FROM t"))
            told = load.written
            assert {number for number, outcome in told.items() if outcome == "done"} <= found.keys()
            assert not {number for number, outcome in told.items() if outcome == "refused"} & found.keys()
            assert set(found.values()) == {1}
            if operation in (paused, reloaded):
                assert set(told.values()) == {"done"}
            elif operation is reconnected:
                assert "unknown" not in told.values()
            assert database.pool_state().in_use == 0
            rows = await asyncio.gather(*[database.fetch(text("SELECT 1 AS n, pg_sleep(0.01)")) for _ in range(POOL)])
            assert [row.n for [row] in rows] == [1] * POOL
