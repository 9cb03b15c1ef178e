"""Limits kept on a server, of which each process takes units in advance. Touches: the network, monotonic time.

Most requests are decided here, without a round trip: from units in hand, or by what the server said last, which is that
there are none before a certain moment. A process that needs more asks for a slice: ``part`` of the burst at most, and
at most half of what is there. What it has not used within ``keep`` seconds it does not use any more; it gives it back
when it asks for that caller again.

Units are counted on the server when they are handed out. Hence the bounds, for N processes and one caller: in any time
they admit at most N slices more than an exact limiter would (handed out before, used now), and at any moment at most N
slices lie unused, so that a caller may be refused that much too early. A process that dies takes its slices along.

Which of the processes may refuse at once, by what the server said, errs to the same side: others can only have used
more since, or given something back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from tailrace.clock import Clock, SystemClock
from tailrace.core.gcra import SECOND, Decision
from tailrace.limits.limit import Claim, Limit, Verdict, of_fields
from tailrace.limits.shared import Script, SharedBuckets

__all__ = ["LeasedLimiter"]

PATROL = 2
"""Slices looked at for each new caller; those that say nothing any more go."""


class _Slice:
    """What this process has in hand for one caller. Times in microseconds of monotonic time.

    Attributes:
        units: in hand.
        until: when they are no longer used.
        arrival: when the server's bucket is full, as it said last.
        asking: the call under way for more.
    """

    __slots__ = ("arrival", "asking", "units", "until")

    def __init__(self) -> None:
        self.units = 0
        self.until = 0
        self.arrival = 0
        self.asking: asyncio.Future[None] | None = None


class LeasedLimiter:
    """Buckets that processes share by the slice.

    Args:
        buckets: the server's side; closed with the limiter.
        part: a slice as a share of the burst, 0..1; at least one unit.
        keep: seconds for which a slice is used.
        most: callers for whom something is kept; those beyond lose what is in hand, which is never to their advantage.
        clock: monotonic time.

    Cost: under two microseconds for most requests; one round trip for a slice.
    """

    def __init__(
        self,
        buckets: SharedBuckets,
        *,
        part: float = 0.1,
        keep: float = 1.0,
        most: int = 100_000,
        clock: Clock | None = None,
    ) -> None:
        self._shared = buckets
        self._part = part
        self._keep = int(keep * SECOND)
        self._most = most
        self._monotonic = (clock or SystemClock()).monotonic
        self._lease = Script("lease")
        self._slices: OrderedDict[tuple[str, str], _Slice] = OrderedDict()

    evictions = 0
    """What leaves for want of room was not a bucket."""

    @property
    def held(self) -> int:
        """Callers for whom something is kept."""
        return len(self._slices)

    def decide_now(self, claim: Claim) -> Decision | None:
        """The decision on one claim if it can be made here."""
        limit, caller, cost = claim
        found = self._slices.get((limit.name, caller))
        if found is None:
            return None
        now = int(self._monotonic() * SECOND)
        rate = limit.rate
        if found.units >= cost and now < found.until:
            found.units -= cost
            arrival = found.arrival - found.units * rate.interval
            return of_fields(Decision, (rate, True, arrival, now, cost))
        # What is in hand would be given back before more is taken.
        decision = rate.decide(found.arrival - found.units * rate.interval, now, cost)
        return None if decision.allowed else decision

    def take_now(self, claims: Sequence[Claim]) -> Verdict | None:
        """The verdict if all can be decided here."""
        if len(claims) == 1:
            decision = self.decide_now(claims[0])
            return None if decision is None else of_fields(Verdict, (decision[1], (decision,), "lease"))
        decisions: list[Decision] = []
        for claim in claims:
            found = self.decide_now(claim)
            if found is None:
                self._undo(claims, decisions)
                return None
            decisions.append(found)
        return self._together(claims, decisions)

    def ready(self, claims: Sequence[Claim]) -> Callable[[], Verdict | None]:
        """``take_now`` of the same claims."""
        return partial(self.take_now, claims)

    async def take(self, claims: Sequence[Claim]) -> Verdict:
        """The verdict, after asking for more where there is too little in hand.

        Raises:
            StoreUnavailableError: the server could not be asked; nothing was taken.
        """
        decisions: list[Decision] = []
        try:
            for claim in claims:
                decisions += (await self._decide(claim),)
        except BaseException:
            self._undo(claims, decisions)
            raise
        return self._together(claims, decisions)

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Undo a verdict that granted ``claims``: the units are in hand again."""
        for limit, caller, cost in claims:
            found = self._slices.get((limit.name, caller))
            if found is not None:
                found.units += cost

    async def connect(self) -> bool:
        """Connect now, so that a loss is noticed from here on."""
        return await self._shared.connect()

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._shared.aclose()

    # --- private -----------------------------------------------------------------------------------

    async def _decide(self, claim: Claim) -> Decision:
        limit, caller, cost = claim
        while True:
            decision = self.decide_now(claim)
            if decision is not None:
                return decision
            found = self._slices.get((limit.name, caller)) or self._new(limit, caller)
            if found.asking is not None:
                # Somebody asks already; one of those who wait may have to ask again.
                await asyncio.wait((found.asking,))
                continue
            found.asking = asyncio.get_running_loop().create_future()
            try:
                taken = await self._ask(limit, caller, cost, found)
            finally:
                found.asking.set_result(None)
                found.asking = None
            if taken >= cost:
                found.units -= cost
                now = int(self._monotonic() * SECOND)
                return Decision(limit.rate, True, found.arrival - found.units * limit.rate.interval, now, cost)

    async def _ask(self, limit: Limit, caller: str, cost: int, found: _Slice) -> int:
        """Give back what is in hand and take a slice; returns its units."""
        rate = limit.rate
        back, found.units = found.units, 0
        most = max(cost, int(rate.burst * self._part))
        # If this fails, whether they were given back is not known; they are not used again.
        taken, server_now, arrival = await self._shared.run(
            self._lease, (self._shared.key(limit.name, caller),), (rate.span, rate.interval, cost, most, back)
        )
        now = int(self._monotonic() * SECOND)
        found.units += taken
        found.until = now + self._keep
        found.arrival = now + arrival - server_now
        return taken

    def _together(self, claims: Sequence[Claim], decisions: Sequence[Decision]) -> Verdict:
        allowed = all(decision.allowed for decision in decisions)
        if not allowed:
            self._undo(claims, decisions)
        return Verdict(allowed, tuple(decisions), "lease")

    def _undo(self, claims: Sequence[Claim], decisions: Sequence[Decision]) -> None:
        self.give_back([claim for claim, decision in zip(claims, decisions, strict=False) if decision.allowed])

    def _new(self, limit: Limit, caller: str) -> _Slice:
        slices = self._slices
        now = int(self._monotonic() * SECOND)
        for _ in range(min(PATROL, len(slices))):
            key, oldest = slices.popitem(last=False)
            if oldest.asking is not None or max(oldest.until, oldest.arrival) > now:
                slices[key] = oldest
        if len(slices) >= self._most:
            slices.popitem(last=False)
        made = slices[(limit.name, caller)] = _Slice()
        return made
