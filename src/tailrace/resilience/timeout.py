"""A time limit around any awaitable. Touches: the event loop's timers.

Built on ``asyncio.timeout``, which counts cancellations: a caller that cancels at the very moment the time runs out
is cancelled, not handed a timeout. A clock other than the system's (a test's) drives the same mechanism by a task that
sleeps on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tailrace.clock import Clock, SystemClock
from tailrace.errors import UpstreamTimeoutError

__all__ = ["with_timeout"]

T = TypeVar("T")


async def with_timeout(
    call: Callable[[], Awaitable[T]], seconds: float | None, *, clock: Clock, what: str = "the call"
) -> T:
    """Await ``call()`` for at most ``seconds``; None: for as long as it takes; with no time left it is not begun.

    Raises:
        UpstreamTimeoutError: the time ran out, and the call has been cancelled. A ``TimeoutError`` of the call itself
            passes through unchanged.
    """
    if seconds is None:
        return await call()
    if seconds <= 0:
        raise UpstreamTimeoutError(f"{what}: no time left")
    system = isinstance(clock, SystemClock)
    limit = asyncio.timeout(seconds if system else None)
    timer: asyncio.Task[None] | None = None
    try:
        async with limit:
            if not system:
                timer = asyncio.create_task(_expire(limit, seconds, clock))
            return await call()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UpstreamTimeoutError(f"{what}: no answer within {seconds:.3g} s") from error
    finally:
        if timer is not None:
            timer.cancel()


async def _expire(limit: asyncio.Timeout, seconds: float, clock: Clock) -> None:
    await clock.sleep(seconds)
    limit.reschedule(asyncio.get_running_loop().time())
