"""Counting in a process that serves nobody, for servers that show what it counts. Touches: what is shared, a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tailrace.clock import Clock, SystemClock
from tailrace.observe.metrics import Metrics
from tailrace.observe.process import measure_process, watch_loop
from tailrace.observe.siblings import share_figures
from tailrace.settings import HttpSettings

__all__ = ["counting_aside"]


@asynccontextmanager
async def counting_aside(settings: HttpSettings, *, clock: Clock | None = None) -> AsyncIterator[Metrics | None]:
    """Count until the block ends, where the servers of the same folder and name show it.

    Args:
        settings: the servers' own.
        clock: time.

    Returns:
        The observer that counts; None where nothing is shared, as nobody would see it.
    """
    name, folder = settings.metrics_name, settings.metrics_folder
    shared = share_figures([name], folder=folder) if settings.metrics and name and folder else None
    if shared is None:
        yield None
        return
    clock = clock or SystemClock()
    metrics = Metrics(clock=clock, window=settings.window)
    metrics.share(shared)

    def measure() -> None:
        metrics.settle()
        measure_process(metrics)

    watching = asyncio.create_task(watch_loop(metrics, clock, measure), name="tailrace loop lag")
    try:
        yield metrics
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
