"""How long a key lives: one rule for every adapter. Pure."""

from __future__ import annotations

__all__ = ["LONGEST", "SHORTEST", "lifetime"]

SHORTEST = 0.001
"""Seconds: what a server can express."""
LONGEST = 10 * 365 * 24 * 3600.0
"""Seconds: nothing is kept for ever."""


def lifetime(ttl: float) -> float:
    """``ttl`` in seconds, brought into what every store can keep.

    >>> lifetime(0), lifetime(60), lifetime(float("inf")) == LONGEST
    (0.001, 60, True)
    """
    return min(LONGEST, max(SHORTEST, ttl))
