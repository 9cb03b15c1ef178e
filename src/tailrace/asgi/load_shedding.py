"""Load shedding: no more at once than the process can do, a short line in front of it, and an early no beyond that.

Touches: the event loop, one context variable (the deadline).

Requests beyond the limit wait in the order in which they came. Whoever would wait too long by the pace at which the
line moves is refused at once, with 503 and when to come again, rather than after having waited in vain; so is everybody
while the line is full. The limit follows the event loop (``core.concurrency_limit``), so what is admitted is served
quickly, and the background work that keeps answers fresh gets its turns. Plain cache hits do not come here at all.

An event stream gives its place back as it begins: it holds no work, and there may be thousands.

**Source:** RFC 9110 sections 15.6.4 (503) and 10.2.3 (Retry-After); "Fail at Scale" (ACM Queue, 2015): bounded waits.
"""

from __future__ import annotations

import asyncio
from collections import deque

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.clock import Clock, SystemClock
from tailrace.core.concurrency_limit import ConcurrencyLimit
from tailrace.errors import DatabaseTimeoutError, OverloadedError, PoolTimeoutError, UpstreamTimeoutError
from tailrace.events import ConcurrencyMeasured, Observer, RequestAdmitted, RequestShed
from tailrace.resilience.deadline import remaining
from tailrace.resilience.timeout import with_timeout
from tailrace.settings import SheddingSettings

__all__ = ["LoadSheddingMiddleware"]

PERIOD = 0.05
"""Seconds between two looks at the event loop while requests come."""
PACE_WEIGHT = 0.1
"""Weight of the newest gap between two places given back in the line's pace."""
DRY = (PoolTimeoutError, DatabaseTimeoutError)
"""Errors that say that a resource is used up."""


class LoadSheddingMiddleware:
    """Admits requests to ``app``.

    Args:
        app: the application.
        settings: limits and patience.
        observer: receives ``RequestAdmitted``, ``RequestShed`` and ``ConcurrencyMeasured``.
        clock: monotonic time.

    Raises:
        OverloadedError: to the layer outside that answers failures; the application was not asked.

    Cost: 2.5 microseconds while nobody waits.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: SheddingSettings | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self._settings = settings or SheddingSettings()
        self._observer = observer
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._limit = ConcurrencyLimit(
            initial=self._settings.initial,
            minimum=self._settings.minimum,
            maximum=self._settings.maximum,
            target=self._settings.target_delay,
        )
        self._admitted = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._waiting = 0
        self._wanted = False
        self._failures = 0
        self._next_look = 0.0
        self._looking = False
        self._given_back = 0.0
        self._pace = 0.0

    @property
    def limit(self) -> int:
        """Requests at once, just now."""
        return self._limit.value

    @property
    def admitted(self) -> int:
        """Requests that the application works on."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Requests in the line."""
        return self._waiting

    def tell(self) -> None:
        """Tell the observer how it is just now; while no requests come nobody else does."""
        if self._observer is not None:
            self._observer(ConcurrencyMeasured(self._limit.value, self._admitted, self._waiting))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        now = self._monotonic()
        if now >= self._next_look and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look, now)
        if self._admitted < self._limit.value and not self._waiting:
            self._admitted += 1
        else:
            await self._queue_up(now)
        holds = True

        def let_go(headers: list[Header]) -> None:
            nonlocal holds
            if holds and _is_event_stream(headers):
                holds = False
                self._give_back()

        exchange = exchange_of(scope)
        try:
            await self.app(scope, receive, exchange.at_start(let_go, send))
            if exchange.error is not None and isinstance(exchange.error, DRY):  # answered inside
                self._failures += 1
        except DRY:
            self._failures += 1
            raise
        finally:
            if holds:
                holds = False
                self._give_back()

    # --- the line ----------------------------------------------------------------------------------------------------

    async def _queue_up(self, now: float) -> None:
        """Return with a place.

        Raises:
            OverloadedError: there will be none in time.
        """
        self._wanted = True
        patience, why = self._settings.max_wait, "patience"
        left = remaining(self._clock)
        if left is not None and left < patience:
            patience, why = left, "deadline"
        if not self._waiting:  # a new line: how the last one moved says nothing of it
            self._pace, self._given_back = 0.0, now
        expected = self._pace * (self._waiting + 1)
        if self._waiting >= self._settings.max_waiting:
            raise self._refused("line_full", expected)
        if expected > patience:
            raise self._refused(why, expected)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        self._waiting += 1
        try:
            await with_timeout(lambda: place, patience, clock=self._clock, what="load_shedding")
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._give_back()  # it was handed over as the client left
            else:
                place.cancel()
                self._waiting -= 1
                if len(self._line) > 2 * self._waiting:
                    self._line = deque(other for other in self._line if not other.done())
            if isinstance(error, UpstreamTimeoutError):
                raise self._refused(why, self._pace * (self._waiting + 1)) from None
            raise
        if self._observer is not None:
            self._observer(RequestAdmitted(self._monotonic() - now))

    def _give_back(self) -> None:
        self._admitted -= 1
        if self._waiting:
            now = self._monotonic()
            self._pace += PACE_WEIGHT * (now - self._given_back - self._pace)
            self._given_back = now
            self._admit()

    def _admit(self) -> None:
        limit = self._limit.value
        while self._waiting and self._admitted < limit:
            place = self._line.popleft()
            if not place.done():  # else its client has left, and is counted as such
                self._waiting -= 1
                self._admitted += 1
                place.set_result(None)

    def _refused(self, reason: str, expected: float) -> OverloadedError:
        if self._observer is not None:
            self._observer(RequestShed(reason))
        error = OverloadedError("more requests than can be served in time")
        error.retry_after = max(1.0, expected)
        return error

    # --- the limit ---------------------------------------------------------------------------------------------------

    def _look(self, scheduled: float) -> None:
        """How long this callback waited is how long everything that is ready waits."""
        now = self._monotonic()
        self._looking = False
        self._next_look = now + PERIOD
        self._limit.sample(now - scheduled, wanted=self._wanted, failures=self._failures)
        self._wanted, self._failures = self._waiting > 0, 0
        self._admit()
        self.tell()


def _is_event_stream(headers: list[Header]) -> bool:
    for name, value in headers:
        if name == b"content-type" or name.lower() == b"content-type":
            return value.startswith(b"text/event-stream")
    return False
