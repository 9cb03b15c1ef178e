"""One pass over the outbox: learn what was committed, stamp it, say what is settled. Touches: a connection, the store.

Both kinds of pass return the ids of rows they saw and did not settle; ``Horizon`` draws the conclusion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.cache.stamps import Stamps
from tailrace.clock import Clock
from tailrace.db import outbox
from tailrace.db.outbox import OutboxRow, Seen
from tailrace.errors import StoreUnavailableError
from tailrace.events import Observer, TagsBumped
from tailrace.settings import FreshnessSettings
from tailrace.stores import Store

__all__ = ["Follower", "OwnCommits", "Pass", "Relay", "RelayPass", "Stamping"]

GRACE = 0.015
"""Seconds that a writer has for stamping its own rows before another process does it: stamping twice costs hits."""
RETENTION = 30.0
"""Seconds for which rows that everybody follows are kept."""
OWN_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass left: ids ``unsettled``, ``depth`` rows seen, whether it can be relied upon, and who answered."""

    unsettled: frozenset[int]
    depth: int
    complete: bool
    server: object


class RelayPass(Protocol):
    """A way to go over the outbox."""

    async def run(self, connection: AsyncConnection) -> Pass:
        """Go over it once.

        Raises:
            StoreUnavailableError: stamps could not be written; nothing was removed.
        """
        ...

    def connected(self) -> None:
        """The next pass runs on a new connection, perhaps to another server."""
        ...

    def restart(self) -> None:
        """What was learnt before counts no more: this is another database, or rows may have been missed."""
        ...


class OwnCommits:
    """Transactions of this process whose stamps it has written already. Bounded: the oldest are forgotten.

    Each counts in the life of store and database it was stamped in: another store has not seen the stamps, and another
    database gives the same number to another transaction.
    """

    __slots__ = ("_known", "_order")

    def __init__(self) -> None:
        self._known: set[tuple[str, int]] = set()
        self._order: deque[tuple[str, int]] = deque()

    def add(self, life: str, xid: int) -> None:
        self._known.add((life, xid))
        self._order.append((life, xid))
        if len(self._order) > OWN_REMEMBERED:
            self._known.discard(self._order.popleft())

    def has(self, life: str | None, xid: int) -> bool:
        return life is not None and (life, xid) in self._known


class Stamping:
    """What both passes share: stamping the tags of rows that this process has not stamped."""

    def __init__(
        self,
        stamps: Stamps,
        own: OwnCommits,
        clock: Clock,
        observer: Observer | None,
        on_bumped: Callable[[frozenset[str]], None],
    ) -> None:
        self.stamps = stamps
        self.own = own
        self.clock = clock
        self.observer = observer
        self.on_bumped = on_bumped

    def is_own(self, row: OutboxRow) -> bool:
        return self.own.has(self.stamps.life, row.xid)

    async def stamp(self, rows: Iterable[OutboxRow]) -> None:
        tags = frozenset(row.tag for row in rows if not self.is_own(row))
        if not tags:
            return
        began = self.clock.monotonic()
        await self.stamps.bump(tags)
        self.on_bumped(tags)
        if self.observer is not None:
            self.observer(TagsBumped("relay", len(tags), self.clock.monotonic() - began))


class Relay:
    """Takes rows: lock, stamp, delete, in one transaction. Several may run; each row is stamped at least once.

    Args:
        store: the shared store; its epoch must be the one that the database says counts.
        takes: False to only watch, where another process relays.
    """

    def __init__(self, store: Store, stamping: Stamping, settings: FreshnessSettings, *, takes: bool = True) -> None:
        self._store = store
        self._stamping = stamping
        self._settings = settings
        self._takes = takes
        self._claimed: str | None = None

    def connected(self) -> None:
        self._claimed = None

    def restart(self) -> None:
        """Nothing is remembered but what each new connection forgets."""

    async def run(self, connection: AsyncConnection) -> Pass:
        epoch = self._store.epoch
        if epoch is None:
            await self._store.connect()
            epoch = self._store.epoch
        if epoch is None:
            raise StoreUnavailableError("the store is not connected")
        if epoch != self._claimed:
            async with outbox.transaction(connection):
                await outbox.claim_store(connection, epoch)
            self._claimed = epoch
        seen = await outbox.look(connection, most=self._settings.batch, grace=GRACE)
        mine = seen.store_epoch == epoch
        settled: frozenset[int] = frozenset()
        if mine and self._takes:
            settled = await self._take(connection, seen, epoch)
        # A push that was sent before this answer has arrived when it has: what others stamped is known here.
        await self._store.fence()
        unsettled = frozenset(row.id for row in seen.rows) - settled
        complete = mine and len(seen.rows) < self._settings.batch and self._store.epoch == epoch
        return Pass(unsettled, len(seen.rows), complete, seen.server)

    async def _take(self, connection: AsyncConnection, seen: Seen, epoch: str) -> frozenset[int]:
        wanted = [row for row in seen.rows if row.due or self._stamping.is_own(row)]
        if not wanted:
            return frozenset()
        async with outbox.transaction(connection):
            locked = await outbox.take(connection, wanted, epoch)
            taken = [row for row in wanted if row.id in locked]
            if taken:
                if self._store.epoch != epoch:
                    raise StoreUnavailableError("the store was replaced during the pass")
                await self._stamping.stamp(taken)
                await outbox.delete(connection, taken)
        return locked


class Follower:
    """Reads rows that stay, for a store that only this process sees. Every process that follows reads every row.

    All processes that use one database follow, or all take: rows that are taken are gone for those who follow.
    """

    def __init__(self, stamping: Stamping, clock: Clock) -> None:
        self._stamping = stamping
        self._clock = clock
        self._snapshot = outbox.BEGINNING
        self._positions: deque[tuple[float, int]] = deque()
        self._passed: float | None = None

    @property
    def missed(self) -> bool:
        """True if rows may have been removed since the last pass: what is cached must be given up."""
        return self._passed is not None and self._clock.monotonic() - self._passed > RETENTION / 2

    def connected(self) -> None:
        """Positions are the database's, not the connection's: go on where the last pass ended."""

    def restart(self) -> None:
        """Begin anew; for a cache that has just been emptied, or another database."""
        self._snapshot = outbox.BEGINNING
        self._positions.clear()
        self._passed = None

    async def run(self, connection: AsyncConnection) -> Pass:
        began = self._clock.monotonic()
        seen = await outbox.look_since(connection, self._snapshot)
        await self._stamping.stamp(seen.rows)
        self._snapshot = seen.snapshot
        self._passed = began
        await self._clean(connection, began, seen.xmin)
        return Pass(frozenset(), len(seen.rows), complete=True, server=seen.server)

    async def _clean(self, connection: AsyncConnection, now: float, xmin: int) -> None:
        """Remove what every process that still counts has seen: rows below a position that is ``RETENTION`` old."""
        if not self._positions or now - self._positions[-1][0] >= 1.0:
            self._positions.append((now, xmin))
        old = None
        while self._positions and now - self._positions[0][0] > RETENTION:
            old = self._positions.popleft()[1]
        if old is not None:
            await outbox.delete_below(connection, old)
