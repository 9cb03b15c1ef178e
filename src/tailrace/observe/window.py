"""Requests of the last minutes, by route: counts by status, quantiles of durations. Pure: time comes in by ``tick``.

The window is a ring of parts; each route has a histogram and counts for every part, and the oldest part is dropped as a
new one begins. Recording reads no clock, so that it costs a cache hit next to nothing; whoever looks at the event loop
anyway says when a part is over. Quantiles over any number of parts are exact merges, within 2 %.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tailrace.core.quantile import DurationHistogram
from tailrace.observe.family import OTHER

__all__ = ["Figures", "RequestWindow"]

PARTS = 10
"""Parts of the window; what is shown reaches back for a part more or less."""
MAX_ROUTES = 500
"""Routes with figures of their own; the rest are counted together."""
MOST_PENDING = 4096
"""Durations of one route and status that wait to be counted, at most."""


@dataclass(slots=True)
class _Part:
    """What one route did in one part of the window."""

    durations: DurationHistogram = field(default_factory=DurationHistogram)
    statuses: Counter[int] = field(default_factory=Counter)


class _Route:
    __slots__ = ("current", "past", "pending")

    def __init__(self) -> None:
        self.current = _Part()
        self.past: deque[_Part] = deque(maxlen=PARTS - 1)
        self.pending: dict[int, list[float]] = {}
        """Durations by status that are not in ``current`` yet: a list that grows is all that a hit pays for."""

    def settle(self) -> None:
        """Count what is pending."""
        for status, durations in self.pending.items():
            if durations:
                self.current.durations.record_all(durations)
                self.current.statuses[status] += len(durations)
                durations.clear()

    def turn(self) -> bool:
        """Begin a new part; False when there is nothing left to remember, and nobody who records into it."""
        self.settle()
        self.past.append(self.current)
        self.current = _Part()
        return bool(self.pending) or any(part.statuses for part in self.past)

    def parts(self, number: int) -> Iterator[_Part]:
        """The newest ``number`` parts."""
        self.settle()
        yield self.current
        yield from list(self.past)[::-1][: number - 1]


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests of one route, or of all. Durations in seconds; shares 0..1."""

    route: str
    requests: int
    statuses: dict[int, int]
    mean: float
    p50: float
    p95: float
    p99: float
    maximum: float

    @property
    def error_share(self) -> float:
        """Answers 5xx."""
        return self._share(500, 600)

    @property
    def client_error_share(self) -> float:
        """Answers 4xx; who left first (499) is none."""
        return self._share(400, 499)

    def _share(self, first: int, end: int) -> float:
        found = sum(count for status, count in self.statuses.items() if first <= status < end)
        return found / self.requests if self.requests else 0.0


class RequestWindow:
    """The window of one process.

    Args:
        seconds: how far it reaches back.

    Memory: about 5 kB a route and part.
    """

    def __init__(self, *, seconds: float = 300.0) -> None:
        self.seconds = seconds
        self._part = seconds / PARTS
        self._routes: dict[str, _Route] = {}
        self._number: int | None = None

    def record(self, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        part = self._of(route).current
        part.durations.record(seconds)
        part.statuses[status] += 1

    def recorder(self, route: str, status: int) -> Callable[[float], None]:
        """``record`` for one route and status, at a fifth of the cost, for those who record again and again."""
        held = self._of(route)
        pending = held.pending.setdefault(status, [])

        def record(seconds: float) -> None:
            pending.append(seconds)
            if len(pending) >= MOST_PENDING:
                held.settle()

        return record

    def tick(self, now: float) -> None:
        """Say what time it is (monotonic seconds). Drops what has become too old."""
        number = int(now / self._part)
        if self._number is None:
            self._number = number
        for route in self._routes.values():
            route.settle()
        for _ in range(min(number - self._number, PARTS)):
            for name in [name for name, route in self._routes.items() if not route.turn()]:
                del self._routes[name]
        self._number = number

    def figures(self, seconds: float | None = None) -> list[Figures]:
        """Each route's figures over the last ``seconds``, the whole window by default; the busiest first."""
        number = self._parts(seconds)
        found = [_figures(name, route.parts(number)) for name, route in self._routes.items()]
        return sorted((f for f in found if f.requests), key=lambda f: (-f.requests, f.route))

    def total(self, seconds: float | None = None) -> Figures:
        """All routes together."""
        number = self._parts(seconds)
        return _figures("", [part for route in self._routes.values() for part in route.parts(number)])

    def _parts(self, seconds: float | None) -> int:
        return PARTS if seconds is None else max(1, min(PARTS, -int(-seconds // self._part)))

    def _of(self, route: str) -> _Route:
        known = self._routes.get(route)
        if known is None:
            if len(self._routes) >= MAX_ROUTES:
                route = OTHER
            known = self._routes.setdefault(route, _Route())
        return known


def _figures(route: str, parts: Iterable[_Part]) -> Figures:
    together, statuses = DurationHistogram(), Counter[int]()
    for part in parts:
        together.merge([part.durations])
        statuses.update(part.statuses)
    mean = together.total / together.count if together.count else 0.0
    p50, p95, p99 = (together.quantile(share) for share in (0.5, 0.95, 0.99))
    return Figures(route, together.count, dict(sorted(statuses.items())), mean, p50, p95, p99, together.maximum)
