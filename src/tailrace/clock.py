"""Time, handed in. Touches: the system clock, in one place.

``now`` is wall time (seconds since the epoch, comparable between machines as far as their clocks agree);
``monotonic`` never goes back and means nothing outside the process.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What code that needs the time is given."""

    def now(self) -> float:
        """Wall time, seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at once (but yielding) for 0 or less."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
