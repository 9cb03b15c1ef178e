"""Counting what happens at every request without an event for each. Pure.

Most events are rare, and an observer is told of them one by one. What happens at every request is told through an
instrument: a function whose labels are fixed, made once and kept, so that counting is an addition. An observer that has
instruments gives its own; for any other one they are made, and emit the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from tailrace.events import CacheLookedUp, LimitDecided, Observer, RequestFinished, ResponseCompressed

__all__ = ["Instruments", "Record", "instruments"]

Record: TypeAlias = Callable[[float, int], None]
"""Told of a request: seconds it took, bytes of the response's body."""


@runtime_checkable
class Instruments(Protocol):
    """Makes instruments. Labels are as in the events."""

    def requests(self, method: str, route: str, status: int, cache: str | None) -> Record:
        """For ``RequestFinished``."""
        ...

    def hits(self, route: str, cache: str, status: int) -> Record:
        """For ``CacheLookedUp`` and ``RequestFinished`` of hits that took no waiting; ``cache``: the policy."""
        ...

    def compressions(self, encoding: str) -> Callable[[int, int], None]:
        """For ``ResponseCompressed``: told the bytes before and after."""
        ...

    def decisions(self, limit: str, allowed: bool, decided_by: str) -> Callable[[], None]:
        """For ``LimitDecided``."""
        ...


def instruments(observer: Observer) -> Instruments:
    """The observer's own instruments, else such as tell it events."""
    return observer if isinstance(observer, Instruments) else _Telling(observer)


class _Telling:
    """Instruments of an observer that knows events alone."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def requests(self, method: str, route: str, status: int, cache: str | None) -> Record:
        observer = self._observer

        def record(seconds: float, size: int) -> None:
            observer(RequestFinished(method, route, status, seconds, size, cache))

        return record

    def hits(self, route: str, cache: str, status: int) -> Record:
        observer, looked_up = self._observer, CacheLookedUp(cache, "hit", 0.0)
        finished = self.requests("GET", route, status, "hit")

        def record(seconds: float, size: int) -> None:
            observer(looked_up)
            finished(seconds, size)

        return record

    def compressions(self, encoding: str) -> Callable[[int, int], None]:
        observer = self._observer

        def record(original: int, encoded: int) -> None:
            observer(ResponseCompressed(encoding, original, encoded))

        return record

    def decisions(self, limit: str, allowed: bool, decided_by: str) -> Callable[[], None]:
        observer, decided = self._observer, LimitDecided(limit, allowed, decided_by)
        return lambda: observer(decided)
