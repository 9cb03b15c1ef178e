"""Rate limits: buckets by caller, in this process or shared by several.

``MemoryLimiter`` for one process; ``ValkeyLimiter``, exact, and ``LeasedLimiter``, without a round trip for most
requests, for several; ``ResilientLimiter`` is both, and says what holds while the store is down. All but the first are
imported when first asked for; they need ``tailrace[valkey]``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tailrace.limits.limit import Claim, Limit, Limiter, Verdict
from tailrace.limits.memory import MemoryLimiter

if TYPE_CHECKING:
    from tailrace.limits.leases import LeasedLimiter
    from tailrace.limits.outage import ResilientLimiter
    from tailrace.limits.shared import SharedBuckets
    from tailrace.limits.valkey import ValkeyLimiter

__all__ = [
    "Claim",
    "LeasedLimiter",
    "Limit",
    "Limiter",
    "MemoryLimiter",
    "ResilientLimiter",
    "SharedBuckets",
    "ValkeyLimiter",
    "Verdict",
]

_HOMES = {
    "LeasedLimiter": "tailrace.limits.leases",
    "ResilientLimiter": "tailrace.limits.outage",
    "SharedBuckets": "tailrace.limits.shared",
    "ValkeyLimiter": "tailrace.limits.valkey",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
