"""Figures of the process itself. Touches: /proc, the clock handed in, one background task.

**Source:** proc(5); Prometheus client guidelines, "Process metrics".
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

from tailrace.clock import Clock
from tailrace.observe.metrics import Metrics
from tailrace.observe.siblings import started_at

__all__ = ["measure_process", "watch_loop"]

PERIOD = 0.5
"""Seconds between two looks at the event loop."""

_PROC = Path("/proc/self")


def measure_process(metrics: Metrics) -> None:
    """Set the process gauges; those that the platform does not tell are left out. Cost: about 50 microseconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    metrics["process.cpu"].set((), usage.ru_utime + usage.ru_stime)
    try:
        resident = int((_PROC / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        metrics["process.resident_memory"].set((), resident)
        metrics["process.open_fds"].set((), len(os.listdir(_PROC / "fd")))
        if not metrics["process.start_time"].series:
            metrics["process.start_time"].set((), _start_time())
    except (OSError, ValueError, IndexError):
        return


def _start_time() -> float:
    """Seconds since 1970 at which the process started."""
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(boot.split()[1]) + started_at(os.getpid()) / os.sysconf("SC_CLK_TCK")


async def watch_loop(metrics: Metrics, clock: Clock, measure: Callable[[], None]) -> None:
    """Record, until cancelled, by how much the event loop wakes a timer too late; let the window of requests go on.

    Args:
        measure: called now and then where others see the figures of this process without asking it.
    """
    observe = metrics["tailrace.event_loop.lag"].observe
    while True:
        began = clock.monotonic()
        await clock.sleep(PERIOD)
        now = clock.monotonic()
        observe((), max(0.0, now - began - PERIOD))
        metrics.window.tick(now)
        if metrics.shared is not None:
            measure()
