"""The process itself. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import FAST, Metric

__all__ = ["PROCESS"]

PROCESS: tuple[Metric, ...] = (
    Metric(
        "tailrace.event_loop.lag",
        "histogram",
        "s",
        "By how much the event loop woke a timer too late.",
        (),
        FAST,
    ),
    Metric("process.resident_memory", "gauge", "By", "Resident memory of each process.", across="each"),
    Metric("process.open_fds", "gauge", "{descriptor}", "Open file descriptors of each process.", across="each"),
    Metric("process.cpu", "counter", "s", "Processor time used by the processes, those that have ended included."),
    Metric("process.start_time", "gauge", "s", "When each process started, seconds since 1970.", across="each"),
)
