"""The pool: waits no longer than the request does, keeps what load has opened, and tells of itself.

SQLAlchemy closes a connection beyond the pool's size as it comes back. With twice as many who ask all the time as the
pool has connections, every second one of them would open its own: a process of the server's, and every statement
prepared anew. Here such connections stay as long as so many are in use now and then.

Touches: SQLAlchemy's pool, the clock.

**Source:** OpenTelemetry's semantic conventions for database client connection pools.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.pool.base import _ConnectionRecord
from sqlalchemy.util.queue import AsyncAdaptedQueue

from tailrace.clock import SystemClock
from tailrace.db.holding import Holdings
from tailrace.events import ConnectionCheckedIn, ConnectionCheckedOut, Observer, PoolMeasured, PoolTimedOut
from tailrace.resilience.deadline import remaining

__all__ = ["POOL", "DeadlinePool", "PoolState", "measured_pool", "observe_pool", "pool_state", "waiting_time"]

POOL = "default"
SPARE = 60.0
"""Seconds for which connections beyond the pool's size stay open after more than that were last in use."""
SHORTEST = 0.001
"""Seconds for which a request waits whose time is over: enough to take what is free."""


def waiting_time(limit: float) -> float:
    """Seconds for which a caller waits for its turn: ``limit``, or what its deadline leaves."""
    left = remaining(SystemClock())
    return limit if left is None else min(limit, max(left, SHORTEST))


class _Line(AsyncAdaptedQueue[ConnectionPoolEntry]):
    """Those who wait for a connection, none for longer than its deadline leaves, and those connections that are free.

    It has room for all: how many there may be is for the pool to say.
    """

    waiting = 0

    @cached_property
    def _queue(self) -> asyncio.Queue[ConnectionPoolEntry]:  # made when first used: another loop may run by then
        return asyncio.LifoQueue() if self.use_lifo else asyncio.Queue()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        if not block:
            return super().get(block, timeout)
        if timeout is not None:
            timeout = waiting_time(timeout)
        self.waiting += 1
        try:
            return super().get(block, timeout)
        finally:
            self.waiting -= 1


class DeadlinePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's own, but for how long a caller waits, ``pool_timeout`` or what its deadline leaves, and for when a
    connection is closed that load has opened."""

    _queue_class = _Line
    _needed = -SPARE

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        now = time.monotonic()
        if self.checkedout() > self.size():
            self._needed = now
        if self.checkedin() < self.size() or now - self._needed < SPARE:
            super()._do_return_conn(record)
            return
        try:
            record.close()
        finally:
            self._dec_overflow()

    def _dec_overflow(self) -> Literal[True]:
        """There is room for one connection more, as one could not be made, or whoever made it was cancelled.

        Those who wait do so for one that is given back, and would not hear of it: one of them gets the room.
        """
        if not self.waiting:
            return super()._dec_overflow()
        self._pool.put(_ConnectionRecord(self, connect=False), False)  # who takes it connects
        return True

    @property
    def waiting(self) -> int:
        """How many wait."""
        line: Any = self._pool
        return int(line.waiting)


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections of a pool: in use, open and idle, the most there may be; and how many wait for one."""

    in_use: int
    idle: int
    limit: int
    waiting: int

    @property
    def full(self) -> bool:
        """Whether whoever comes next has to wait."""
        return self.in_use >= self.limit


def pool_state(engine: AsyncEngine) -> PoolState:
    """How the engine's pool is."""
    pool: Any = engine.sync_engine.pool  # another one after each ``dispose``
    # There is no public name for how many it may open beyond its size.
    return PoolState(pool.checkedout(), pool.checkedin(), pool.size() + pool._max_overflow, pool.waiting)


def measured_pool(observer: Observer, name: str) -> type[DeadlinePool]:
    """The pool, telling ``observer`` of those who waited, in vain too."""

    class MeasuredPool(DeadlinePool):
        """Knows how long each connection was waited for."""

        def _do_get(self) -> ConnectionPoolEntry:
            began = time.monotonic()
            try:
                entry = super()._do_get()
            except exc.TimeoutError:
                observer(PoolTimedOut(name, time.monotonic() - began))
                raise
            entry.info["tailrace_wait"] = time.monotonic() - began
            return entry

    return MeasuredPool


def observe_pool(engine: AsyncEngine, observer: Observer, name: str, holdings: Holdings | None) -> None:
    """Tell ``observer`` of connections that are taken and given back, ``holdings`` of who holds them."""

    def measure() -> None:
        state = pool_state(engine)
        observer(PoolMeasured(name, state.idle + state.in_use, state.in_use, state.limit, state.waiting))

    def checked_out(_connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        entry.info["tailrace_out"] = time.monotonic()
        if holdings is not None:
            holdings.taken(entry)
        observer(ConnectionCheckedOut(name, entry.info.pop("tailrace_wait", 0.0)))
        measure()

    def checked_in(_connection: Any, entry: ConnectionPoolEntry) -> None:
        out = entry.info.pop("tailrace_out", None)
        if holdings is not None:
            holdings.given_back(entry)
        if out is not None:
            observer(ConnectionCheckedIn(name, time.monotonic() - out))
            measure()

    event.listen(engine.sync_engine, "checkout", checked_out)
    event.listen(engine.sync_engine, "checkin", checked_in)
