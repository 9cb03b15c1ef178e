"""The caller's deadline: how long the work under way is still wanted. Touches: one context variable.

The front door sets it for each request; everything below takes the smaller of its own time limit and what is left.
A deadline is a moment of ``Clock.monotonic``, in seconds, so it means nothing outside the process; what is passed on
to another service is the time left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tailrace.clock import Clock

__all__ = ["current_deadline", "deadline_within", "limit", "remaining"]

current_deadline: ContextVar[float | None] = ContextVar("tailrace_deadline", default=None)
"""The moment (monotonic seconds) after which nobody waits for the answer; None: no such moment is known."""


def remaining(clock: Clock) -> float | None:
    """Seconds left until the caller's deadline (negative when it has passed), None without one."""
    deadline = current_deadline.get()
    return None if deadline is None else deadline - clock.monotonic()


def limit(seconds: float | None, clock: Clock) -> float | None:
    """The smaller of ``seconds`` and the time left until the caller's deadline; None when neither is known."""
    left = remaining(clock)
    if left is None:
        return seconds
    return left if seconds is None else min(seconds, left)


@contextmanager
def deadline_within(seconds: float, clock: Clock) -> Iterator[float]:
    """Set the caller's deadline ``seconds`` from now, unless an earlier one is set; yields the one that holds."""
    deadline = clock.monotonic() + seconds
    earlier = current_deadline.get()
    if earlier is not None:
        deadline = min(deadline, earlier)
    token = current_deadline.set(deadline)
    try:
        yield deadline
    finally:
        current_deadline.reset(token)
