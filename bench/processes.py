"""CPU time of a process and of those that it has started, as the kernel accounts for it. Touches: /proc, CPU clocks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["clocks", "spent"]

SCHEDULED = 2
"""CPUCLOCK_SCHED: the scheduler's own account, of which a process's CPU clock is made."""


def clocks(first: int) -> dict[int, float]:
    """User and system seconds, to the nanosecond, of ``first`` and all that descend from it, threads included.

    **Source:** clock_getcpuclockid(3), proc_pid_task_tid_children(5).
    """
    found = {}
    for process in _family(first):
        try:
            found[process] = time.clock_gettime((~process << 3) | SCHEDULED)
        except OSError:  # it has ended since it was listed
            continue
    return found


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Seconds between two looks; what has ended meanwhile counts as if it had rested."""
    return sum(seconds - before.get(process, 0.0) for process, seconds in after.items())


def _family(first: int) -> Iterator[int]:
    yield first
    try:
        tasks = list(Path(f"/proc/{first}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):  # as above
        return
    for child in children:
        yield from _family(child)
