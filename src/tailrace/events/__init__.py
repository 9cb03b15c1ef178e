"""Every event a room emits, and the one protocol that receives them.

Pure: values only. Rooms guard with ``if observer is not None`` before building an event, so that nobody watching costs
nothing. Names are past tense; times are seconds; ``dependency`` and ``route`` are names from code, never from input, so
that they can be metric labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.events.base import Event, Observer
from tailrace.events.database import (
    ConnectionCheckedIn,
    ConnectionCheckedOut,
    ConnectionHeld,
    PoolMeasured,
    PoolTimedOut,
    QueryAudited,
    QueryNotCached,
    ReplicaMeasured,
    StatementFinished,
    TransactionRetried,
)
from tailrace.events.jobs import JobEnqueued, JobFinished, JobOutcome, JobsMeasured, JobStarted
from tailrace.events.semantic import SemanticCompared, SemanticComparison, SemanticLookedUp, SemanticVetoed
from tailrace.events.streams import ResumeOutcome, StreamEnded, StreamOpened, StreamOutcome, StreamResumed
from tailrace.events.timeseries import RowsIngested, SeriesMaintained

__all__ = [
    "AttemptFailed",
    "BulkheadRefused",
    "CacheBypassed",
    "CacheFillRefused",
    "CacheLookedUp",
    "CircuitChanged",
    "ConcurrencyMeasured",
    "ConnectionCheckedIn",
    "ConnectionCheckedOut",
    "ConnectionHeld",
    "DeprecatedUsed",
    "EpochChanged",
    "Event",
    "FallbackUsed",
    "Fenced",
    "Folded",
    "HorizonAdvanced",
    "JobEnqueued",
    "JobFinished",
    "JobOutcome",
    "JobStarted",
    "JobsMeasured",
    "LimitDecided",
    "LimitStateLost",
    "Observer",
    "PoolMeasured",
    "PoolTimedOut",
    "QueryAudited",
    "QueryNotCached",
    "ReplicaMeasured",
    "RequestAdmitted",
    "RequestFinished",
    "RequestShed",
    "ResponseCompressed",
    "ResumeOutcome",
    "RowsIngested",
    "SemanticCompared",
    "SemanticComparison",
    "SemanticLookedUp",
    "SemanticVetoed",
    "SeriesMaintained",
    "StatementFinished",
    "StoreCalled",
    "StoreConnectionChanged",
    "StreamEnded",
    "StreamOpened",
    "StreamOutcome",
    "StreamResumed",
    "TagsBumped",
    "TransactionRetried",
    "UpstreamCalled",
    "ValueComputed",
]


# --- asgi ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestFinished(Event):
    """A request was answered, or its client left (``status`` 499)."""

    method: str
    route: str
    status: int
    duration: float
    response_bytes: int
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class DeprecatedUsed(Event):
    """A request asked for what is going away: ``name`` is a version's, or the path of an alias."""

    name: str
    route: str


@dataclass(frozen=True, slots=True)
class RequestAdmitted(Event):
    """A request that had to wait for its turn got it after ``wait`` seconds."""

    wait: float


@dataclass(frozen=True, slots=True)
class RequestShed(Event):
    """A request was refused unserved. ``reason``: line_full, patience (of the service), deadline (of the client)."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConcurrencyMeasured(Event):
    """How many requests may be worked on at once, how many are, and how many wait."""

    limit: int
    admitted: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ResponseCompressed(Event):
    """A response was compressed, though it may have been sent as it was, because it would not shrink. ``encoding`` is
    the content coding."""

    encoding: str
    original_bytes: int
    encoded_bytes: int


# --- cache ---------------------------------------------------------------------------------------

CacheStatus = Literal["hit", "stale", "miss", "collapsed", "bypass"]


@dataclass(frozen=True, slots=True)
class CacheLookedUp(Event):
    """A cached answer was asked for. ``cache`` is the policy's name."""

    cache: str
    status: CacheStatus
    duration: float


@dataclass(frozen=True, slots=True)
class ValueComputed(Event):
    """A value was computed for the cache."""

    cache: str
    duration: float
    value_bytes: int
    background: bool


@dataclass(frozen=True, slots=True)
class CacheFillRefused(Event):
    """A computed value was not kept: ``reason`` is one of too_large, untrusted, error."""

    cache: str
    reason: str


@dataclass(frozen=True, slots=True)
class CacheBypassed(Event):
    """The cache was not used: ``reason`` is one of store, slow, horizon, token, transaction, epoch."""

    cache: str
    reason: str


@dataclass(frozen=True, slots=True)
class TagsBumped(Event):
    """New stamps were written. ``source`` is writer or relay."""

    source: Literal["writer", "relay"]
    count: int
    duration: float


@dataclass(frozen=True, slots=True)
class Folded(Event):
    """Differences were added to the rollups they belong to."""

    count: int
    duration: float


@dataclass(frozen=True, slots=True)
class Fenced(Event):
    """A client that had written made its process catch up first."""

    duration: float


@dataclass(frozen=True, slots=True)
class HorizonAdvanced(Event):
    """A relay pass ended. ``age`` is how long ago the newest moment lies up to which every commit is known."""

    age: float
    outbox_depth: int


@dataclass(frozen=True, slots=True)
class EpochChanged(Event):
    """The store or the database is another one than before: the cache starts cold."""

    part: Literal["store", "database"]


# --- stores --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreCalled(Event):
    """One round trip to a store."""

    store: str
    operation: str
    duration: float
    error: bool


@dataclass(frozen=True, slots=True)
class StoreConnectionChanged(Event):
    """The connection to a store came up or was lost."""

    store: str
    connected: bool


# --- limits --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LimitDecided(Event):
    """A rate limit was asked. ``decided_by``: memory, valkey, lease; share, open, closed while the store is down."""

    limit: str
    allowed: bool
    decided_by: str


@dataclass(frozen=True, slots=True)
class LimitStateLost(Event):
    """The store that keeps limits is another one than before: every bucket counts as empty at that moment."""

    store: str


# --- upstream and resilience ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UpstreamCalled(Event):
    """A call to a dependency ended, retries included. ``outcome``: ok, error, timeout, rejected, open, full."""

    dependency: str
    outcome: str
    duration: float
    attempts: int


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """One attempt failed; ``delay`` seconds until the next, None when there is none."""

    dependency: str
    attempt: int
    reason: str
    delay: float | None


@dataclass(frozen=True, slots=True)
class CircuitChanged(Event):
    """A circuit breaker changed state, or there is a new one, which is closed."""

    dependency: str
    state: Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BulkheadRefused(Event):
    """A call was refused because too many were under way."""

    dependency: str


@dataclass(frozen=True, slots=True)
class FallbackUsed(Event):
    """A fallback answered in place of the dependency."""

    dependency: str
    reason: str
