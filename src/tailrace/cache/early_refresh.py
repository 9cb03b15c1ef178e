"""Which part of an answer's life a lookup falls into. Pure.

**Source:** RFC 5861 for the stale periods; XFetch (Vattani et al. 2015) for refreshing a little before the end, the
likelier the longer the computation takes and the nearer the end is, so that a popular answer never ends for everyone.
"""

from __future__ import annotations

import math
from enum import Enum

from tailrace.cache.entry import Entry
from tailrace.cache.policy import CachePolicy

__all__ = ["LONGEST_DRAW", "Phase", "phase"]

LONGEST_DRAW = 53 * math.log(2)
"""The largest ``-log(chance)`` that there is: ``1 - random.random()`` is at least 2**-53."""


class Phase(Enum):
    """What to do with an entry whose stamps are current."""

    FRESH = "fresh"
    REFRESH = "refresh"
    """Serve it and refresh it in the background."""
    STALE = "stale"
    """Past its life: serve it as stale and refresh it in the background."""
    EXPIRED = "expired"
    """Compute anew; it may still serve if that fails."""


def phase(entry: Entry, policy: CachePolicy, now: float, chance: float) -> Phase:
    """Decide.

    Args:
        now: wall time. A clock that went back makes the age negative, which counts as 0.
        chance: a uniform random number in (0, 1].
    """
    left = entry.ttl - max(0.0, now - entry.created_at)
    if left > 0:
        if policy.early_refresh and -math.log(chance) * entry.cost * policy.early_refresh >= left:
            return Phase.REFRESH
        return Phase.FRESH
    if -left < policy.stale_while_revalidate:
        return Phase.STALE
    return Phase.EXPIRED
