"""Limits kept on a server, exact across processes. Touches: the network.

Each decision is one run of ``scripts/take.lua``, by the server's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tailrace.core.gcra import Decision
from tailrace.limits.limit import Claim, Limit, Verdict
from tailrace.limits.shared import Script, SharedBuckets, arguments

__all__ = ["ValkeyLimiter"]


class ValkeyLimiter:
    """Buckets that processes share.

    Args:
        buckets: the server's side; closed with the limiter.

    Cost: one round trip a verdict, which calls of the same turn share.
    """

    def __init__(self, buckets: SharedBuckets) -> None:
        self._shared = buckets
        self._take = Script("take")
        self._tails: dict[tuple[int, int, int], bytes] = {}

    held = evictions = 0
    """Nothing is kept in this process."""

    def take_now(self, claims: Sequence[Claim]) -> None:
        """Never known without asking."""

    def ready(self, claims: Sequence[Claim]) -> Callable[[], None]:
        """``take_now`` of the same claims."""
        return partial(self.take_now, claims)

    async def take(self, claims: Sequence[Claim]) -> Verdict:
        """Ask the server.

        Raises:
            StoreUnavailableError: it could not be asked. Units may have been taken nevertheless.
        """
        if len(claims) == 1:
            return await self._take_one(*claims[0])
        key = self._shared.key
        keys = [key(limit.name, caller) for limit, caller, _ in claims]
        arguments: list[int] = []
        for limit, _, cost in claims:
            arguments += (limit.rate.span, cost * limit.rate.interval)
        allowed, now, *arrivals = await self._shared.run(self._take, keys, arguments)
        if allowed:
            decisions = [
                Decision(limit.rate, True, arrival, now, cost)
                for (limit, _, cost), arrival in zip(claims, arrivals, strict=True)
            ]
            return Verdict(True, tuple(decisions), "valkey")
        # What the server read, decided again as it did, tells which of them had no room.
        decisions = [
            limit.rate.decide(arrival, now, cost) for (limit, _, cost), arrival in zip(claims, arrivals, strict=True)
        ]
        return Verdict(False, tuple(decisions), "valkey")

    async def _take_one(self, limit: Limit, caller: str, cost: int) -> Verdict:
        rate, shared = limit.rate, self._shared
        tail = self._tails.get((rate.span, cost, rate.interval))
        if tail is None:
            tail = self._tails[(rate.span, cost, rate.interval)] = arguments(rate.span, cost * rate.interval)
        allowed, now, arrival = await shared.run_one(self._take, shared.key(limit.name, caller), tail)
        return Verdict(allowed == 1, (Decision(rate, allowed == 1, arrival, now, cost),), "valkey")

    async def connect(self) -> bool:
        """Connect now, so that a loss is noticed from here on."""
        return await self._shared.connect()

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._shared.aclose()
