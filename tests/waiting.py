"""Waiting for something to become true, in place of a pause that is too long or too short."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

__all__ = ["wait_until"]


async def wait_until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], timeout: float = 60.0) -> None:
    """Return as soon as ``condition`` holds.

    Raises:
        AssertionError: it still does not after ``timeout`` seconds, which only a broken system takes.
    """
    end = time.monotonic() + timeout
    while True:
        outcome = condition()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome:
            return
        assert time.monotonic() < end, f"still not true after {timeout} s: {inspect.getsource(condition).strip()}"
        await asyncio.sleep(0.005)
