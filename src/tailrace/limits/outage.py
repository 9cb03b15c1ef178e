"""Limits kept on a server, and what holds while it cannot be asked. Touches: the network, monotonic time.

By limit (``Limit.on_outage``), while the store is down or too slow:

``share``   each process keeps its share of the rate and of the burst by itself, with a bucket that is full when the
            outage begins. All together admit no more than the limit does: what was admitted before the outage and after
            it is counted apart, so an outage of d seconds adds ``burst + rate x d`` at most. With a burst below the
            number of processes each still has one unit.
``open``    all are admitted.
``closed``  none is.

A leased limit goes on with what is in hand. Units that were taken by a call that ended in an outage are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tailrace.core.gcra import Decision
from tailrace.errors import StoreUnavailableError
from tailrace.limits.leases import LeasedLimiter
from tailrace.limits.limit import Claim, DecidedBy, Limit, Verdict
from tailrace.limits.memory import MemoryLimiter
from tailrace.limits.valkey import ValkeyLimiter

__all__ = ["ResilientLimiter"]


class ResilientLimiter:
    """Decides by the server, exactly or by leases as each limit says, and without it when it must.

    Args:
        exact, leased: on one server; closed with this one.
        local: keeps this process's shares.
        processes: how many processes share the limits, as declared; a share is one part of as many.
    """

    def __init__(
        self, exact: ValkeyLimiter, leased: LeasedLimiter, *, local: MemoryLimiter, processes: int = 1
    ) -> None:
        self._exact = exact
        self._leased = leased
        self._local = local
        self._processes = processes
        self._shares: dict[Limit, Limit] = {}

    @property
    def held(self) -> int:
        """Callers for whom something is kept here."""
        return self._leased.held + self._local.held

    @property
    def evictions(self) -> int:
        """Buckets of this process's shares that left while in use."""
        return self._local.evictions

    def take_now(self, claims: Sequence[Claim]) -> Verdict | None:
        """The verdict, where all limits are leased and enough is in hand."""
        for claim in claims:
            if claim.limit.mode != "leased":
                return None
        return self._leased.take_now(claims)

    def ready(self, claims: Sequence[Claim]) -> Callable[[], Verdict | None]:
        """``take_now`` of the same claims."""
        return partial(self.take_now, claims)

    async def take(self, claims: Sequence[Claim]) -> Verdict:
        """The verdict. Never raises for want of the store."""
        try:
            return await self._with_store(claims)
        except StoreUnavailableError:
            return self._without_store(claims)

    async def connect(self) -> bool:
        """Connect now, so that a loss is noticed from here on."""
        return await self._exact.connect()

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._exact.aclose()
        await self._leased.aclose()

    # --- private -----------------------------------------------------------------------------------

    async def _with_store(self, claims: Sequence[Claim]) -> Verdict:
        leased = [claim for claim in claims if claim.limit.mode == "leased"]
        if not leased:
            return await self._exact.take(claims)
        first = await self._leased.take(leased)
        if len(leased) == len(claims):
            return first
        if not first.allowed:
            return _in_order(claims, first, None)
        # What is in hand is taken first, because it can be put back without asking anybody.
        granted = False
        try:
            second = await self._exact.take([claim for claim in claims if claim.limit.mode != "leased"])
            granted = second.allowed
        finally:
            if not granted:
                self._leased.give_back(leased)
        return _in_order(claims, first, second)

    def _without_store(self, claims: Sequence[Claim]) -> Verdict:
        if any(claim.limit.on_outage == "closed" for claim in claims):
            return Verdict(False, (None,) * len(claims), "closed")
        shares = [
            Claim(self._share(limit), caller, cost) for limit, caller, cost in claims if limit.on_outage == "share"
        ]
        if not shares:
            return Verdict(True, (None,) * len(claims), "open")
        verdict = self._local.take_now(shares)
        decided = iter(verdict.decisions)
        decisions = tuple(next(decided) if claim.limit.on_outage == "share" else None for claim in claims)
        return Verdict(verdict.allowed, decisions, "share")

    def _share(self, limit: Limit) -> Limit:
        known = self._shares.get(limit)
        if known is None:
            known = self._shares[limit] = Limit(limit.name, limit.rate.shared_by(self._processes))
        return known


def _in_order(claims: Sequence[Claim], leased: Verdict, exact: Verdict | None) -> Verdict:
    """One verdict from those on the leased claims and on the others, None if those were not asked."""
    by_mode: dict[bool, list[Decision | None]] = {True: list(leased.decisions), False: []}
    if exact is not None:
        by_mode[False] = list(exact.decisions)
    decisions = []
    for claim in claims:
        waiting = by_mode[claim.limit.mode == "leased"]
        decisions.append(waiting.pop(0) if waiting else None)
    allowed = leased.allowed and exact is not None and exact.allowed
    decided_by: DecidedBy = leased.decided_by if exact is None else exact.decided_by
    return Verdict(allowed, tuple(decisions), decided_by)
