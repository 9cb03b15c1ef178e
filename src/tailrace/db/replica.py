"""One replica: its connections, and whether it is read from. Touches: drivers' connections.

Whoever notices that it no longer answers aborts its connections, and nobody connects again until it has answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import event

from tailrace.db.abortable_engine import AbortableEngine
from tailrace.db.engine import make_engine, make_relay_engine
from tailrace.events import Observer
from tailrace.settings import DatabaseSettings

__all__ = ["Replica"]

UNSEEN = "not looked at yet"


class Replica(AbortableEngine):
    """One replica; the engine is for those who read.

    Args:
        name: in events and metrics.
        url: its address.
        settings: pool and timeouts.
        observer: receives pool and statement events.

    Attributes:
        asking: the connection that is asked how far it is.
        reached: the moment (monotonic) whose commits it all shows.
        level: the moment of the newest look at which it showed everything that anybody could have seen.
        problem: why it is not read from; None when only ``reached`` decides.
        measuring: the look at it that is under way, or was the last.
    """

    def __init__(self, name: str, url: str, settings: DatabaseSettings, observer: Observer | None) -> None:
        patience = min(settings.connect_timeout, settings.replica_timeout)
        settings = settings.model_copy(update={"connect_timeout": patience})
        super().__init__(make_engine(url, settings, observer, pool=name))
        direct = settings.model_copy(update={"direct_url": None})
        self.asking = AbortableEngine(make_relay_engine(url, direct, "tailrace-replicas", keep=True))
        self.name = name
        self.reached = self.level = float("-inf")
        self.problem: str | None = UNSEEN
        self.told: bool | None = None
        self.measuring: asyncio.Task[None] | None = None
        event.listen(self.engine.sync_engine, "do_connect", self._connecting)

    @property
    def seen(self) -> bool:
        """Whether it has been looked at."""
        return self.problem != UNSEEN

    def distrust(self, problem: str) -> None:
        """Have it read from no more, until a look finds it well."""
        self.problem = problem
        self.reached = self.level = float("-inf")

    async def aclose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        await self.asking.engine.dispose()

    def _connecting(self, *_: Any) -> None:
        if self.problem is not None:
            raise ConnectionRefusedError(f"{self.name} is not read from: {self.problem}")
