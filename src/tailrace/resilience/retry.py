"""Try again, where that is safe and can be afforded. Touches: the clock and randomness it is given.

An attempt is repeated only if all of this holds: the failure is classified as passing, a retry is left, the caller's
time leaves room for the pause, and the budget grants it. What the other side asks for (``Retry-After``) is obeyed; if
it asks for more time than the caller has, the failure is handed over at once instead of after a wait for nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tailrace.clock import Clock
from tailrace.core.backoff import Backoff
from tailrace.errors import CircuitOpenError, TailraceError
from tailrace.events import AttemptFailed, Observer
from tailrace.resilience.budget import Budget

__all__ = ["Retry", "passing"]

T = TypeVar("T")


def passing(error: Exception) -> bool:
    """True for an error that the same call may not meet again; an open circuit is not one: waiting is its answer."""
    return isinstance(error, TailraceError) and error.retryable and not isinstance(error, CircuitOpenError)


class Retry:
    """Retries for one dependency.

    Args:
        name: the dependency, as it appears in events.
        max_retries: most attempts after the first.
        budget: shared by all calls to the dependency; None: unlimited.
        random: gives evenly distributed numbers in 0..1.
    """

    def __init__(
        self,
        name: str,
        *,
        max_retries: int,
        backoff: Backoff,
        budget: Budget | None,
        clock: Clock,
        random: Callable[[], float],
        observer: Observer | None = None,
    ) -> None:
        self._name = name
        self._max_retries = max_retries
        self._backoff = backoff
        self._budget = budget
        self._clock = clock
        self._random = random
        self._observer = observer

    async def call(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        retryable: Callable[[Exception], bool] = passing,
        deadline: float | None = None,
    ) -> T:
        """Await ``attempt()``, again and again as allowed; the last error is raised.

        Args:
            retryable: whether a failure may be followed by another attempt; ``lambda _: False`` for what must not be
                repeated.
            deadline: monotonic seconds; no attempt begins after it.
        """
        if self._budget is not None:
            self._budget.call_begins()
        retries = 0
        while True:
            try:
                return await attempt()
            except Exception as error:
                delay = self._next_delay(error, retries, deadline) if retryable(error) else None
                retries += 1
                if self._observer is not None:
                    self._observer(AttemptFailed(self._name, retries, _reason(error), delay))
                if delay is None:
                    raise
            await self._clock.sleep(delay)

    def _next_delay(self, error: Exception, retries: int, deadline: float | None) -> float | None:
        """Seconds until the next attempt, None if there is to be none."""
        if retries >= self._max_retries:
            return None
        asked = error.retry_after if isinstance(error, TailraceError) else None
        delay = self._backoff.delay(retries, self._random(), at_least=asked or 0.0)
        if deadline is not None:
            room = deadline - self._clock.monotonic()
            if asked is not None and asked < room:
                delay = min(delay, (asked + room) / 2)  # the jitter yields to the deadline, what was asked for does not
            if delay >= room:
                return None
        if self._budget is not None and not self._budget.grant():
            return None
        return delay


def _reason(error: Exception) -> str:
    return error.code if isinstance(error, TailraceError) else type(error).__name__
