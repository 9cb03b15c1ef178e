"""Reads on replicas that are known to be new enough. Touches: one connection to each server, a background task.

How far behind is a replica? Its own clock does not say: ``pg_last_xact_replay_timestamp`` stands still when nobody
writes, and what it has received is not what it shows. So every look asks the primary for its position in the WAL, then
each replica for the one it has replayed. A replica shows everything committed before the newest look whose position it
has passed; that moment is its horizon, and it is read from only while that is younger than the bound. A replica that is
paused, cut off, killed or restarting stands still; one that was promoted, or follows another primary, is none of ours.
One that does not answer is given up: what is being read there ends at once, and begins again on the primary.

**Source:** PostgreSQL documentation, 9.28.4 (recovery information functions) and 26.2.5 (streaming replication).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tailrace.cache.consistency import ReadContext
from tailrace.clock import Clock
from tailrace.db.abortable_engine import AbortableEngine
from tailrace.db.engine import make_relay_engine
from tailrace.db.errors import FOREIGN, said_by_server, translate
from tailrace.db.replica import Replica
from tailrace.db.replica_failover import failing_over
from tailrace.errors import DatabaseUnavailableError
from tailrace.events import Observer, ReplicaMeasured
from tailrace.settings import DatabaseSettings

__all__ = ["Positions", "Replicas"]

# What is flushed has been acknowledged; what is inserted may be seen already, by those who do not wait for the disk.
PRIMARY = text("""
    SELECT NOT pg_is_in_recovery() AS writes, (pg_control_system()).system_identifier::text AS system,
           (pg_control_checkpoint()).timeline_id AS timeline,
           CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END AS flushed,
           CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_insert_lsn() - '0/0')::bigint END AS inserted
""")
REPLICA = text("""
    SELECT pg_is_in_recovery() AS replays, (pg_control_system()).system_identifier::text AS system,
           greatest((pg_control_checkpoint()).timeline_id, (pg_control_recovery()).min_recovery_end_timeline)
               AS timeline,
           (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::bigint AS replayed
""")
log = logging.getLogger("tailrace.replicas")


class Positions:
    """Where the primary was when. Pure.

    Args:
        keep: seconds for which positions are remembered.
    """

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, moment: float, position: int) -> None:
        """Everything committed before ``moment`` is at or below ``position``."""
        self._seen.append((moment, position))
        while self._seen[0][0] < moment - self._keep:
            self._seen.popleft()

    def reached(self, replayed: int) -> float:
        """The newest moment all of whose commits are at or below ``replayed``."""
        moments = [moment for moment, position in self._seen if position <= replayed]
        return max(moments, default=float("-inf"))


class Replicas:
    """The replicas of one database.

    Args:
        primary: address of the primary.
        reading: connections to it that write nothing, for sessions whose replica is lost.
        settings: addresses of the replicas, bound, time between looks; pools and timeouts of each.
        clock: time.
        observer: receives measurements.
    """

    def __init__(
        self, primary: str, reading: AsyncEngine, settings: DatabaseSettings, clock: Clock, observer: Observer | None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._primary = AbortableEngine(make_relay_engine(primary, settings, "tailrace-replicas", keep=True))
        self._positions = Positions(keep=10 * settings.replica_lag)
        self.replicas = [
            Replica(f"replica{number}", url.get_secret_value(), settings, observer)
            for number, url in enumerate(settings.replica_urls, 1)
        ]
        self._reading = reading
        self._sessions = {replica: self._factory(replica) for replica in self.replicas}
        self._turns = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._look: asyncio.Task[float] | None = None

    @asynccontextmanager
    async def session(self, replica: Replica) -> AsyncIterator[AsyncSession]:
        """A session on ``replica``, which goes on on the primary if it is lost under the first statement.

        Raises:
            what the driver and SQLAlchemy raise: the replica was lost later.
        """
        try:
            async with self._sessions[replica]() as session:
                yield session
        except FOREIGN as error:
            here = session.sync_session.bind is not self._reading.sync_engine
            if here and isinstance(translate(error), DatabaseUnavailableError):
                self._distrust(replica, error)
            raise

    async def choose(self, reads: ReadContext | None) -> Replica | None:
        """A replica that shows all that this request must see, each in turn; None: the primary is to be asked.

        Who has lately written asks only one that has replayed everything up to now, which takes a look at all servers.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._keep_looking(), name="tailrace replicas")
            await self._after(self._clock.monotonic())
        if reads is not None and (reads.bypass or reads.writing):
            return None
        after = None
        if reads is not None and (reads.fenced or reads.wrote):
            after = self._clock.monotonic()
            await self._after(after)
        usable = [replica for replica in self.replicas if self._usable(replica, after)]
        return usable[next(self._turns) % len(usable)] if usable else None

    async def problems(self) -> dict[str, str | None]:
        """Why each replica is not read from, after a look at all servers; None for one that is."""
        await self._after(self._clock.monotonic())
        return {replica.name: None if self._usable(replica, None) else self._why(replica) for replica in self.replicas}

    async def aclose(self) -> None:
        """Stop looking, close every connection."""
        looks = [replica.measuring for replica in self.replicas]
        tasks = [task for task in (self._task, self._look, *looks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for replica in self.replicas:
            await replica.aclose()
        await self._primary.engine.dispose()

    def _usable(self, replica: Replica, after: float | None) -> bool:
        if replica.problem is not None or self._lag(replica) > self._settings.replica_lag:
            return False
        return after is None or replica.level >= after

    def _factory(self, replica: Replica) -> async_sessionmaker[AsyncSession]:
        there = replica.engine.execution_options(postgresql_readonly=True)  # it may be promoted before we know
        return failing_over(there, self._reading, lambda error: self._distrust(replica, error))

    # --- looking -----------------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            await self._after(self._clock.monotonic())
            await self._clock.sleep(self._settings.replica_interval)

    async def _after(self, moment: float) -> None:
        """Return when a look has ended that began after ``moment``; all who ask meanwhile share it."""
        while True:
            if self._look is None or self._look.done():
                self._look = asyncio.create_task(self._look_once())
            if await asyncio.shield(self._look) >= moment:
                return

    async def _look_once(self) -> float:
        began = self._clock.monotonic()
        try:
            primary = await self._ask(self._primary, PRIMARY)
        except FOREIGN as error:
            log.info("the primary's position is not known: %s", type(error).__name__)
            return began
        if primary.writes:
            self._positions.add(began, primary.flushed)
            await self._measure_all(primary, began)
        return began

    async def _measure_all(self, primary: Any, began: float) -> None:
        """Look at all replicas; none waits for long for another one that does not answer."""
        patience, asked = self._settings.replica_interval, []
        for replica in self.replicas:
            if replica.measuring is not None and not replica.measuring.done():
                continue
            if not replica.seen:
                patience = self._settings.replica_timeout
            replica.measuring = asyncio.create_task(self._measure(replica, primary, began))
            asked.append(replica.measuring)
        if asked:
            await asyncio.wait(asked, timeout=patience)

    async def _measure(self, replica: Replica, primary: Any, began: float) -> None:
        try:
            found = await self._ask(replica.asking, REPLICA)
        except FOREIGN as error:
            self._distrust(replica, error)
            return
        replica.problem = _problem(found, primary)
        if replica.problem is None:
            replica.reached = max(replica.reached, self._positions.reached(found.replayed))
            if found.replayed >= primary.inserted:
                replica.level = began
        self._tell(replica)

    async def _ask(self, server: AbortableEngine, statement: Any) -> Any:
        with server.abort_after(self._settings.replica_timeout):
            async with server.engine.connect() as connection:
                return (await connection.execute(statement)).one()

    def _distrust(self, replica: Replica, error: BaseException) -> None:
        """Read from it no more, until a look finds it well; if it is silent, wait for nothing it was asked either."""
        replica.distrust(f"it does not answer: {type(error).__name__}")
        if not said_by_server(error):
            replica.abort()
        self._tell(replica)

    def _tell(self, replica: Replica) -> None:
        usable = self._usable(replica, None)
        if replica.told is not usable:
            replica.told = usable
            said = "is read from" if usable else f"is not read from: {self._why(replica)}"
            log.warning("%s %s", replica.name, said)
        if self._observer is not None:
            self._observer(ReplicaMeasured(replica.name, self._lag(replica), usable))

    def _lag(self, replica: Replica) -> float:
        return self._clock.monotonic() - replica.reached

    def _why(self, replica: Replica) -> str:
        return replica.problem or f"{self._lag(replica):.1f} s behind"


def _problem(found: Any, primary: Any) -> str | None:
    """Why a server is no replica of the primary's; None if it is one. The row's names are those of the statements."""
    if not found.replays:
        return "it is no replica: it has been promoted, or never was one"
    if found.system != primary.system:
        return "it is a replica of another database"
    if found.timeline > primary.timeline:
        return "it follows another primary, on a later timeline"
    return None
