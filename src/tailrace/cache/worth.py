"""Whether an answer may wait for the store. Pure but for asking the store how late it is.

A look-up that takes longer than the computation it might save makes every request slower than it would be without a
cache. So the store is asked only while it is quick beside what the answer costs to compute: an answer that is computed
and kept waits for up to three round trips (entry, stamps, lease), which together are to stay under a third of the
computation. Copies in this process cost no round trip and go on being used. While it is not known
what a policy's answers cost, the store is asked: a new process must not begin with all the dear ones at once.

A store that is merely busy is no fault: lateness under ``TOLERATED`` never counts.

**Source:** Brooker, "Caching challenges and strategies", Amazon Builders' Library (a cache that has become slow is a
dependency that must be survived); docs/decisions/0024-slow-store.md.
"""

from __future__ import annotations

from tailrace.stores import Store

__all__ = ["TOLERATED", "Worth", "is_worth_asking"]

TOLERATED = 0.1
"""Seconds by which answers of a store may be late whatever they save."""
SHARE = 0.1
"""Part of a computation that one round trip may take."""
WEIGHT = 0.1
"""Of the last computation in the mean of a policy's."""


def is_worth_asking(delay: float, cost: float) -> bool:
    """Whether a store that takes ``delay`` seconds is to be asked for what takes ``cost`` seconds to compute.

    >>> is_worth_asking(0.2, 0.005), is_worth_asking(0.2, 3.0), is_worth_asking(0.04, 0.005)
    (False, True, True)
    """
    return delay <= max(TOLERATED, SHARE * cost)


class Worth:
    """Knows what answers cost, by the name of their policy.

    Args:
        store: tells how late it is.
    """

    __slots__ = ("_costs", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._costs: dict[str, float] = {}

    def observe(self, policy: str, cost: float) -> None:
        """A computation under ``policy`` took ``cost`` seconds."""
        mean = self._costs.get(policy, cost)
        self._costs[policy] = mean + WEIGHT * (cost - mean)

    def learn(self, policy: str, cost: float) -> None:
        """An answer under ``policy`` took ``cost`` seconds in another process; counts until one was computed here."""
        self._costs.setdefault(policy, cost)

    def asking(self, policy: str | None = None) -> bool:
        """Whether the store is quick enough just now; without a policy, for what costs next to nothing."""
        delay = self._store.delay
        if delay <= TOLERATED:
            return True
        cost = 0.0 if policy is None else self._costs.get(policy)
        return cost is None or is_worth_asking(delay, cost)
