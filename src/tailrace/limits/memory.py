"""Limits kept by one process. Touches: monotonic time, which no clock step disturbs.

Enough for one process; for several, each would admit the whole rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tailrace.clock import Clock, SystemClock
from tailrace.core.gcra import SECOND, Decision, Rate
from tailrace.limits.buckets import Buckets
from tailrace.limits.limit import Claim, DecidedBy, Limit, Verdict, of_fields

__all__ = ["MemoryLimiter"]

MOST_BUCKETS = 100_000
"""Buckets of one limit, by default; about 20 MB when all are in use."""


class MemoryLimiter:
    """Buckets in this process.

    Args:
        most: most buckets of one limit.
        clock: monotonic time.
        decided_by: what verdicts say of who decided.

    Cost: about a microsecond a decision; memory is bounded by ``most`` and the number of limits.
    """

    def __init__(
        self, *, most: int = MOST_BUCKETS, clock: Clock | None = None, decided_by: DecidedBy = "memory"
    ) -> None:
        self._most = most
        self._monotonic = (clock or SystemClock()).monotonic
        self._buckets: dict[str, Buckets] = {}
        self._decided_by = decided_by

    @property
    def held(self) -> int:
        """Buckets of all limits."""
        return sum(len(buckets.arrivals) for buckets in self._buckets.values())

    @property
    def evictions(self) -> int:
        """Buckets that left while in use, for want of room."""
        return sum(buckets.evictions for buckets in self._buckets.values())

    def decide(self, limit: Limit, caller: str, cost: int = 1) -> Decision:
        """Take ``cost`` units of one limit, if there are."""
        buckets = self._buckets.get(limit.name) or self._new(limit.name)
        return _take(buckets, limit.rate, int(self._monotonic() * SECOND), caller, cost)

    def ready(self, claims: Sequence[Claim]) -> Callable[[], Verdict]:
        """``take_now`` of the same claims; of a single one without looking for its limit's buckets."""
        if len(claims) != 1:
            return partial(self.take_now, claims)
        limit, caller, cost = claims[0]
        buckets = self._buckets.get(limit.name) or self._new(limit.name)
        rate, monotonic, decided_by = limit.rate, self._monotonic, self._decided_by

        def take() -> Verdict:
            decision = _take(buckets, rate, int(monotonic() * SECOND), caller, cost)
            return of_fields(Verdict, (decision[1], (decision,), decided_by))

        return take

    def take_now(self, claims: Sequence[Claim]) -> Verdict:
        """Always known at once."""
        if len(claims) == 1:
            decision = self.decide(*claims[0])
            return of_fields(Verdict, (decision[1], (decision,), self._decided_by))
        now = int(self._monotonic() * SECOND)
        found = [self._buckets.get(limit.name) or self._new(limit.name) for limit, _, _ in claims]
        decisions = tuple(
            limit.rate.decide(buckets.arrivals.get(caller, 0), now, cost)
            for (limit, caller, cost), buckets in zip(claims, found, strict=True)
        )
        allowed = all(decision.allowed for decision in decisions)
        if allowed:
            for claim, buckets, decision in zip(claims, found, decisions, strict=True):
                if claim.caller in buckets.arrivals:
                    buckets.arrivals[claim.caller] = decision.arrival
                else:
                    buckets.add(claim.caller, decision.arrival, now)
        return Verdict(allowed, decisions, self._decided_by)

    async def take(self, claims: Sequence[Claim]) -> Verdict:
        """The same as ``take_now``."""
        return self.take_now(claims)

    async def connect(self) -> bool:
        """Nothing to connect to."""
        return True

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    def _new(self, name: str) -> Buckets:
        made = self._buckets[name] = Buckets(self._most)
        return made


def _take(buckets: Buckets, rate: Rate, now: int, caller: str, cost: int) -> Decision:
    """Take ``cost`` units of one bucket, if there are."""
    arrivals = buckets.arrivals
    known = arrivals.get(caller)
    decision = rate.decide(known or 0, now, cost)
    if decision[1]:
        if known is None:
            buckets.add(caller, decision[2], decision[3])
        else:
            arrivals[caller] = decision[2]
    return decision
