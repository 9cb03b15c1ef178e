"""How an answer is cached, and what a lookup gives. Pure: value types."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.events import CacheStatus

__all__ = ["Answer", "CachePolicy", "Computed", "Uncacheable"]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How one kind of answer is cached. All durations in seconds.

    Attributes:
        name: label of this kind of answer in events and metrics.
        ttl: for how long an answer is fresh by time; what it depends on may end its life at any moment before.
        stale_while_revalidate: after ``ttl``, for how long it is still served while one caller refreshes it.
        stale_if_error: after ``ttl``, for how long it is served when computing it anew fails.
        jitter: share of ``ttl`` by which lives are shortened at random, so that what was made together does not end
            together.
        early_refresh: weight of early refresh (XFetch's beta); 0 switches it off, 1 is the optimal default.
        warm: whether a much-used answer is computed again right after it was invalidated.

    Time alone makes an answer stale within ``stale_while_revalidate`` and ``stale_if_error``; an answer whose tags were
    bumped is never served, whatever these say.

    Source: RFC 5861; Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015).
    """

    name: str
    ttl: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    jitter: float = 0.1
    early_refresh: float = 1.0
    warm: bool = False

    def __post_init__(self) -> None:
        if self.ttl <= 0:
            raise ValueError(f"cache policy {self.name!r}: ttl must be more than 0 seconds, got {self.ttl}")
        if self.stale_while_revalidate < 0 or self.stale_if_error < 0:
            raise ValueError(f"cache policy {self.name!r}: a stale period cannot be negative")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"cache policy {self.name!r}: jitter is a share, 0 <= jitter < 1, got {self.jitter}")

    @property
    def retention(self) -> float:
        """Seconds for which a store must keep an answer."""
        return self.ttl + max(self.stale_while_revalidate, self.stale_if_error)


@dataclass(frozen=True, slots=True)
class Computed:
    """A computed value that lives for ``ttl`` seconds in place of its policy's; a shorter life is negative caching."""

    value: bytes
    ttl: float


@dataclass(frozen=True, slots=True)
class Uncacheable:
    """A computed value that is not kept; with ``shareable`` false, it is not even for others that ask just now."""

    value: bytes
    shareable: bool = False


@dataclass(slots=True)
class Answer:
    """What a lookup gave. Not frozen, only because making one is on the path of every hit.

    Attributes:
        value: the answer.
        status: hit, stale (served past its ttl), miss (computed for this caller), collapsed (computed for another
            caller that asked at the same time), bypass (computed, the cache could not be used).
        created_at: wall time at which it was computed, seconds since 1970.
        age: seconds since then.
        ttl: seconds of freshness it was given.
        shareable: false for what only the caller it was computed for may have.
    """

    value: bytes
    status: CacheStatus
    created_at: float
    age: float
    ttl: float
    shareable: bool = True

    @property
    def expires_in(self) -> float:
        """Seconds of freshness left; 0 when stale."""
        return max(0.0, self.ttl - self.age)
