"""What the database room emits: pool, statements, transactions, replicas, query cache. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.events.base import Event

__all__ = [
    "ConnectionCheckedIn",
    "ConnectionCheckedOut",
    "ConnectionHeld",
    "PoolMeasured",
    "PoolTimedOut",
    "QueryAudited",
    "QueryNotCached",
    "ReplicaMeasured",
    "StatementFinished",
    "TransactionRetried",
]


@dataclass(frozen=True, slots=True)
class ConnectionCheckedOut(Event):
    """A pooled connection was handed out after ``wait`` seconds."""

    pool: str
    wait: float


@dataclass(frozen=True, slots=True)
class ConnectionCheckedIn(Event):
    """A pooled connection came back after ``held`` seconds."""

    pool: str
    held: float


@dataclass(frozen=True, slots=True)
class PoolMeasured(Event):
    """The pool's figures at a moment; ``waiting`` is how many want a connection."""

    pool: str
    size: int
    in_use: int
    limit: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class PoolTimedOut(Event):
    """Nobody gave a connection back in time: one who wanted one waited in vain."""

    pool: str
    waited: float


@dataclass(frozen=True, slots=True)
class ConnectionHeld(Event):
    """A connection is held when it should not be. ``kind``: leaked, long, upstream; ``site`` took it, ``file:line``."""

    pool: str
    kind: str
    site: str
    held: float


@dataclass(frozen=True, slots=True)
class StatementFinished(Event):
    """One statement ran."""

    pool: str
    operation: str
    duration: float
    error: bool


@dataclass(frozen=True, slots=True)
class TransactionRetried(Event):
    """A transaction failed for a passing reason and is tried again."""

    pool: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReplicaMeasured(Event):
    """How many seconds ago the newest moment lies whose commits a replica shows, and whether it is read from."""

    replica: str
    lag: float
    usable: bool


@dataclass(frozen=True, slots=True)
class QueryNotCached(Event):
    """A statement that asked for the query cache ran past it; ``tailrace.db.query_cache`` lists the reasons."""

    cache: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueryAudited(Event):
    """A result from the query cache was compared with the database's.

    ``outcome``: equal; different, which is a defect; overtaken, by a commit; unordered, rows differ where the statement
    leaves it open which rows they are; failed, the statement could not be run again.
    """

    cache: str
    outcome: str
