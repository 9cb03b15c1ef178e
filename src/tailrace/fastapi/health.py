"""What ``/livez``, ``/readyz`` and ``/metrics`` say of one Tailrace. Touches: its parts, asked for their state.

``/livez``   200 while the process can answer at all.
``/readyz``  200 when it has started and the database answers; a cache that is down makes it slower, not unready.
``/metrics`` Prometheus exposition, for operators only. ``/monitoring/...`` likewise, but for ``/monitoring/health``,
             which says what ``/readyz`` does.

**Source:** Kubernetes API server's health endpoints for the names; Prometheus text format 0.0.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.monitoring import Answer, Answering, as_json
from tailrace.errors import TailraceError
from tailrace.fastapi.cache_figures import CacheFigures
from tailrace.fastapi.figures import MonitoringFigures
from tailrace.fastapi.status import PATH
from tailrace.observe import CONTENT_TYPE, exposition
from tailrace.observe.process import measure_process

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace

__all__ = ["OPEN", "Health"]

OPEN = frozenset({"/livez", "/readyz", "/monitoring/health", PATH})
"""Paths for everybody; the others are for operators only, and so are the parts in ``/monitoring/status``."""

READY_TIMEOUT = 1.0
"""Seconds within which the database must answer for the process to be ready."""


class Health:
    """Answers for the monitoring layer.

    Args:
        tailrace: is asked at each request, since its parts are made anew when the application starts again.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace

    def paths(self, taken: Iterable[str]) -> dict[str, Answering]:
        """Path to what answers it, without those that the application answers itself."""
        paths: dict[str, Answering] = {"/livez": self.livez, "/readyz": self.readyz, "/monitoring/health": self.readyz}
        if self._tailrace.settings.http.metrics:
            paths |= {"/metrics": self.metrics, **MonitoringFigures(self._tailrace).paths()}
            paths |= {PATH: self._tailrace.status.answer, **CacheFigures(self._tailrace).paths()}
        own = set(taken)
        return {path: answering for path, answering in paths.items() if path not in own}

    def changing(self, taken: Iterable[str]) -> dict[str, Answering]:
        """The same for paths that change something."""
        if not self._tailrace.settings.http.metrics:
            return {}
        own = set(taken)
        changing = CacheFigures(self._tailrace).changing()
        return {path: answering for path, answering in changing.items() if path not in own}

    async def livez(self, _: Exchange) -> Answer:
        """200 while the process answers at all."""
        return as_json(200, {"status": "alive"})

    async def readyz(self, _: Exchange) -> Answer:
        """200 when it has started and the database answers within a second."""
        tailrace = self._tailrace
        checks = {"store": "up" if tailrace.store.epoch is not None else "down"}
        ready = tailrace.started
        if tailrace.database is not None:
            try:
                async with asyncio.timeout(READY_TIMEOUT):
                    await tailrace.database.ping()
                checks["database"] = "up"
            except (TailraceError, TimeoutError):
                checks["database"] = "down"
                ready = False
        if tailrace.freshness is not None:
            checks["freshness"] = "current" if tailrace.freshness.trusted() else "behind"
        return as_json(200 if ready else 503, {"status": "ready" if ready else "not ready", "checks": checks})

    async def metrics(self, _: Exchange) -> Answer:
        """Everything that was counted, by all processes that share their figures, as Prometheus text."""
        metrics = self._tailrace.metrics
        self.measure()
        parts = [metrics.part()]
        if metrics.shared is None:
            return _as_metrics(exposition(parts))
        shared = metrics.shared
        return _as_metrics(await asyncio.to_thread(lambda: exposition([*parts, *shared.others()])))

    def measure(self) -> None:
        """Bring up to date what is not counted but looked at."""
        metrics, store = self._tailrace.metrics, self._tailrace.store
        metrics.settle()
        held = store.statistics()
        metrics.record_store(store.name, entries=held.entries, size=held.bytes, evictions=held.evictions)
        limiter = self._tailrace.limiter
        metrics.record_limits(buckets=limiter.held, evictions=limiter.evictions)
        if self._tailrace.shedding is not None:
            self._tailrace.shedding.tell()
        measure_process(metrics)


def _as_metrics(text: str) -> Answer:
    return 200, CONTENT_TYPE.encode("ascii"), text.encode()
