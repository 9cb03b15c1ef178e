"""Whether and when what the database failed to do is done again. Touches: the clock.

A connection that was lost says little of the server, which most likely answers on the next one, so the first repetition
follows at once. After that pauses grow, for a server that is starting, and end with a *time*, not a count. Of a
transaction of eight round trips, over a line that breaks every tenth of them, 57 of 100 attempts fail: three
repetitions would leave every tenth request without an answer, while two seconds have room for thirty. On a machine so
busy that one attempt takes all that time there are ``FEWEST`` all the same.
"""

from __future__ import annotations

import math
import random

from tailrace.clock import Clock
from tailrace.core.backoff import Backoff
from tailrace.db.silence import silent
from tailrace.errors import (
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    OutcomeUnknownError,
    PoolTimeoutError,
)
from tailrace.events import Observer, TransactionRetried
from tailrace.resilience.deadline import remaining

__all__ = ["Repetition"]

PAUSES = Backoff(base=0.01, cap=0.1)
"""Twenty connections at most try again at once; so many a process may ask of a server that has just come back."""

FEWEST = 3
"""Repetitions for which there is time even if there is not, but for the caller's deadline."""

IN_VAIN = (PoolTimeoutError, DatabaseTimeoutError)
"""Who has waited to the end of a time limit would wait as long again, and make others wait meanwhile."""


class Repetition:
    """Of one piece of work, from its first failure on.

    Args:
        pool: the pool's name in events.
        seconds: for how long it is repeated; less where the caller's deadline leaves less; 0: not at all.
        clock: time.
        observer: receives an event for each repetition.
    """

    __slots__ = ("_attempt", "_clock", "_deadline", "_fewest", "_observer", "_pool", "_until")

    def __init__(self, pool: str, seconds: float, clock: Clock, observer: Observer | None) -> None:
        now, left = clock.monotonic(), remaining(clock)
        self._pool = pool
        self._deadline = math.inf if left is None else now + left
        self._until = min(now + seconds, self._deadline)
        self._fewest = FEWEST if seconds else 0
        self._clock = clock
        self._observer = observer
        self._attempt = 0

    async def pause_or_give_up(self, error: DatabaseError) -> None:
        """Return when it is time for the next repetition.

        Args:
            error: what the work has failed with this time.

        Raises:
            DatabaseError: ``error``; there is to be none.
        """
        passing = error.retryable or isinstance(error, OutcomeUnknownError)  # here it may be done twice
        if not passing or isinstance(error, IN_VAIN):
            raise error
        self._attempt += 1
        lost = isinstance(error, DatabaseUnavailableError)
        number = self._attempt - 2 if lost else self._attempt - 1
        pause = 0.0 if number < 0 else PAUSES.delay(number, random.random())  # noqa: S311
        hung = silent(error.__cause__)  # then it is the server that takes all the time
        until = self._deadline if self._attempt <= self._fewest and not hung else self._until
        if self._clock.monotonic() + pause >= until:
            raise error
        if self._observer is not None:
            self._observer(TransactionRetried(self._pool, self._attempt, error.code))
        await self._clock.sleep(pause)
