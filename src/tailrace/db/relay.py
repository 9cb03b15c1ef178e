"""One pass over the outbox: learn what was committed, stamp it, say what is settled. Touches: a connection, the store.

Both kinds of pass return the ids of rows they saw and did not settle; ``Horizon`` draws the conclusion. What others
wait for comes first: the stamps of what was seen, right after the look. Removing rows that are done with can wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
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

__all__ = ["PATIENCE", "Follower", "OwnCommits", "Pass", "Relay", "RelayPass", "Stamping"]

FENCE_INTERVAL = 0.05
"""Seconds between two passes that move the horizon, and between two removals; those in between only look for news."""
PATIENCE = 0.1
"""Seconds for which the database may wait for news with its answer: statements that take longer are logged by many."""
REMOVED_AT_ONCE = 64
"""So many rows that are done with do not wait for the next removal."""
RETENTION = 30.0
"""Seconds for which rows that everybody follows are kept."""
OWN_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass left: ids ``unsettled``, ``depth`` rows seen, whether it can be relied upon, and who answered.

    ``concludes`` is False for one that only looked for news: it says nothing about the horizon. After one that has
    ``waited``, in the database, for news, the next may follow at once.
    """

    unsettled: frozenset[int]
    depth: int
    complete: bool
    server: object
    concludes: bool = True
    waited: bool = False


class RelayPass(Protocol):
    """A way to go over the outbox."""

    async def run(self, connection: AsyncConnection, pause: float) -> Pass:
        """Go over it once; ``pause`` seconds are to lie between two looks, whoever waits.

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
    """What transactions of this process wrote and it has stamped already. Bounded: the oldest are forgotten.

    By transaction and tag: a trigger that is deferred to the commit may write tags that the session never heard of.

    Each counts in the life of store and database it was stamped in: another store has not seen the stamps, and another
    database gives the same number to another transaction.
    """

    __slots__ = ("_known", "_order")

    def __init__(self) -> None:
        self._known: set[tuple[str, int, str]] = set()
        self._order: deque[tuple[str, int, str]] = deque()

    def add(self, life: str, xid: int, tag: str) -> None:
        self._known.add((life, xid, tag))
        self._order.append((life, xid, tag))
        if len(self._order) > OWN_REMEMBERED:
            self._known.discard(self._order.popleft())

    def has(self, life: str | None, xid: int, tag: str) -> bool:
        return life is not None and (life, xid, tag) in self._known


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
        return self.own.has(self.stamps.life, row.xid, row.tag)

    async def stamp(self, rows: Iterable[OutboxRow]) -> None:
        """For a store of this process's own, in which nobody else stamps."""
        tags = frozenset(row.tag for row in rows if not self.is_own(row))
        if not tags:
            return
        began = self.clock.monotonic()
        await self.stamps.bump(tags)
        self._stamped(tags, began)

    async def stamp_once(self, rows: Sequence[OutboxRow]) -> set[tuple[int, str]]:
        """For a shared store: whoever comes first stamps. The transactions and tags that were this process's to do."""
        own = {(row.xid, row.tag) for row in rows if self.is_own(row)}
        others = list(dict.fromkeys((row.xid, row.tag) for row in rows if (row.xid, row.tag) not in own))
        if not others:
            return own
        began = self.clock.monotonic()
        _, written = await self.stamps.bump_once(others)
        done = {pair for pair, was_written in zip(others, written, strict=True) if was_written}
        if done:
            self._stamped(frozenset(tag for _, tag in done), began)
        return own | done

    def _stamped(self, tags: frozenset[str], began: float) -> None:
        self.on_bumped(tags)
        if self.observer is not None:
            self.observer(TagsBumped("relay", len(tags), self.clock.monotonic() - began))


class Relay:
    """Takes rows: stamp, then delete. Several may run; each stamps all it sees, and the store lets the first one do it.

    Nothing is locked while stamps are written, so a relay that hangs holds up nobody: the others stamp what it saw.

    Args:
        store: the shared store; its epoch must be the one that the database says counts.
        clock: says when it is time to fence and to remove.
        waits: False where the connection is shared (PgBouncer) and must not be held while nothing happens.
    """

    def __init__(
        self, store: Store, stamping: Stamping, settings: FreshnessSettings, clock: Clock, *, waits: bool = True
    ) -> None:
        self._store = store
        self._stamping = stamping
        self._settings = settings
        self._clock = clock
        self._waits = waits
        self._known = outbox.BEGINNING
        self._full = False
        self._claimed: str | None = None
        self._done: dict[tuple[int, int], bool] = {}
        """Rows seen that have new stamps, in the life of the store that was claimed; True: this process's to remove."""
        self._interval = min(FENCE_INTERVAL, settings.bound / 4)
        self._fenced = self._removed = float("-inf")

    def connected(self) -> None:
        self._claimed = None
        self._known = outbox.BEGINNING
        self._done.clear()
        self._fenced = float("-inf")

    def restart(self) -> None:
        """Nothing is remembered but what each new connection forgets."""

    async def run(self, connection: AsyncConnection, pause: float) -> Pass:
        epoch = await self._claim(connection)
        patience = self._patience()
        seen = await outbox.look(
            connection, most=self._settings.batch, known=self._known, patience=patience, pause=pause
        )
        self._known, self._full = seen.snapshot, len(seen.rows) >= self._settings.batch
        mine = seen.store_epoch == epoch
        news = await self._stamp(seen, epoch) if mine and self._settings.relay else False
        now = self._clock.monotonic()
        concludes = news or now - self._fenced >= self._interval
        if concludes:
            # A push that was sent before this answer has arrived when it has: what others stamped is known here.
            await self._store.fence()
            self._fenced = now
        unsettled = frozenset(row.id for row in seen.rows if row.key not in self._done)
        complete = mine and not self._full and self._store.epoch == epoch
        await self._remove(connection, seen, epoch)
        return Pass(unsettled, len(seen.rows), complete, seen.server, concludes, waited=patience > 0)

    def _patience(self) -> float:
        """Seconds for which the next look may wait for news: not at all where they would be hidden by what lies there,
        and shorter while something lies there that is to be removed."""
        if not self._waits or self._full:
            return 0.0
        return self._interval if self._done else min(PATIENCE, self._settings.bound / 4)

    async def _claim(self, connection: AsyncConnection) -> str:
        """The store's epoch, after the database has once been told that it is the one that counts."""
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
            self._done.clear()
        return epoch

    async def _stamp(self, seen: Seen, epoch: str) -> bool:
        """Stamp the rows that were not there at the last look; True if there were any."""
        done = self._done
        self._done = {row.key: done[row.key] for row in seen.rows if row.key in done}
        new = [row for row in seen.rows if row.key not in done]
        if not new:
            return False
        if self._store.epoch != epoch:
            raise StoreUnavailableError("the store was replaced during the pass")
        mine = await self._stamping.stamp_once(new)
        self._done.update((row.key, (row.xid, row.tag) in mine) for row in new)
        return True

    async def _remove(self, connection: AsyncConnection, seen: Seen, epoch: str) -> None:
        """Remove rows that have new stamps: those that this process gave them, and those left over by others.

        Now and then, since what lies there meanwhile costs less than a transaction for each; and all of them when they
        hide newer ones.
        """
        done, full = self._done, self._full
        rows = [row for row in seen.rows if done.get(row.key, False) or ((full or row.left_over) and row.key in done)]
        now = self._clock.monotonic()
        if rows and (len(rows) >= REMOVED_AT_ONCE or now - self._removed >= self._interval):
            self._removed = now
            await outbox.remove(connection, rows, epoch)


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

    async def run(self, connection: AsyncConnection, pause: float) -> Pass:
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
