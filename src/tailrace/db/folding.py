"""Folds what writers noted into rollups that are kept by differences. Touches: one connection of its own, a task.

``tailrace.fold`` in the database does it, one caller at a time; whoever comes second is told so and waits longer.
Answers are the same before and after, so nothing depends on when it runs; if nobody folds, reads only grow slower.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.clock import Clock, SystemClock
from tailrace.core.backoff import Backoff
from tailrace.db.engine import make_relay_engine
from tailrace.db.errors import FAILURES, translate
from tailrace.errors import DatabaseTimeoutError
from tailrace.events import Folded, Observer
from tailrace.settings import DatabaseSettings

__all__ = ["Folder"]

MOST = 50_000
"""Differences folded in one transaction, up to a second's work."""
REST = 1.0
"""Least seconds between two rounds while there are writers."""
SHARE = 20.0
"""Rests of that many times a round's duration follow it. Differences that are spread over many keys cost most to fold
and wait longest, so that more of them come together; those of few keys, which readers would have to add up by the
thousand, are folded in no time and soon."""
LONGEST_REST = 8.0
"""Seconds between two rounds while there is nothing to do, or somebody else does it."""
DEAD = 20_000
"""Folded differences after which a log is vacuumed: the server's own workers come by once a minute, and until then
readers of a busy key would pass over each."""
FEWEST = 500
"""Differences that a round takes at least, after rounds that the server's time limit ended."""
NOTHING_KEPT = 60.0
"""Seconds after which a database without such rollups is asked again."""
RECONNECT = Backoff(base=0.5, cap=30.0)

KEPT = text("SELECT to_regclass('tailrace.delta_logs') IS NOT NULL")
LOGS = text("SELECT name, quote_ident(name) FROM tailrace.delta_logs WHERE NOT retired ORDER BY name")
# One log a statement: rounds hold no locks on one while they wait for another, which a TRUNCATE of both might have.
FOLD = text("SELECT tailrace.fold(CAST(:most AS integer), CAST(:log AS text))")

log = logging.getLogger("tailrace.folding")


class Folder:
    """The background task.

    Args:
        url: the database; a transaction pooler's address will do.
        settings: timeouts of the connection, PgBouncer mode.
        clock: time.
        observer: told of every round that folded anything.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: DatabaseSettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.problem: str | None = None
        """Why nothing can be folded, in one line; None while it can."""
        self._clock = clock or SystemClock()
        self._observer = observer
        settings = settings or DatabaseSettings()
        self._limit = settings.connect_timeout + 2 * settings.statement_timeout
        self._engine = make_relay_engine(url, settings, "tailrace-fold")
        self._task: asyncio.Task[None] | None = None
        self._most = MOST
        self._rest = REST
        self._kept = False
        self._dead: dict[str, int] = {}

    def start(self) -> None:
        """Begin, in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tailrace folding")

    async def aclose(self) -> None:
        """Stop. What was not folded waits for the next process. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._engine.dispose()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with self._engine.connect() as connection:
                    while await self._fold_for_now(connection):
                        failures, self.problem = 0, None
                failures, self.problem = 0, None
                pause = NOTHING_KEPT
            except FAILURES as error:
                known = translate(error) or error
                if isinstance(known, DatabaseTimeoutError):
                    self._most = max(FEWEST, self._most // 4)
                self._trouble(known)
                pause = RECONNECT.delay(min(failures, 10), random.random())  # noqa: S311
                failures += 1
            await self._clock.sleep(pause)

    async def _fold_for_now(self, connection: AsyncConnection) -> bool:
        """One round and the rest after it; False if this database keeps nothing that needs folding."""
        logs = await self._logs(connection)
        self._kept = bool(logs)
        began = self._clock.monotonic()
        counts = [await self._fold(connection, *log) for log in logs]
        if any(count is not None and count >= self._most for count in counts):
            return True
        spent = self._clock.monotonic() - began
        self._rest = min(max(REST, SHARE * spent) if any(counts) else 2 * self._rest, LONGEST_REST)
        if logs:
            await self._clock.sleep(self._rest)
        return bool(logs)

    async def _logs(self, connection: AsyncConnection) -> list[tuple[str, str]]:
        """Names of the logs, plain and quoted."""
        async with asyncio.timeout(self._limit):
            if not await connection.scalar(KEPT):
                return []
            return [(name, quoted) for name, quoted in (await connection.execute(LOGS)).all()]

    async def _fold(self, connection: AsyncConnection, name: str, quoted: str) -> int | None:
        """How many differences of one log were folded; None if somebody else is at it."""
        began = self._clock.monotonic()
        async with asyncio.timeout(self._limit):
            folded: int | None = await connection.scalar(FOLD, {"most": self._most, "log": name})
            if not folded:
                return folded
            self._dead[name] = self._dead.get(name, 0) + folded
            if self._dead[name] >= DEAD:
                await connection.exec_driver_sql(f"VACUUM (SKIP_LOCKED, TRUNCATE false) tailrace.{quoted}")
                self._dead[name] = 0
        if self._observer is not None:
            self._observer(Folded(folded, self._clock.monotonic() - began))
        return folded

    def _trouble(self, error: BaseException) -> None:
        problem = f"{type(error).__name__}: {error}".partition("\n")[0]
        if problem != self.problem and self._kept:
            log.warning("rollups kept by differences are not folded, so reading them grows slower: %s", problem)
        self.problem = problem
