"""One RESP3 connection shared by everybody. Touches: the transport and the event loop's clock; hiredis for the codec.

Calls made in the same turn of the event loop leave in one write, and replies are matched to calls by their order,
which is all the protocol promises. Everything else follows from keeping that order:

- A call that ran out of time, or whose caller left, keeps its place in the queue; its reply is counted off and
  dropped.
- A call that is overdue stalls the connection: further calls fail at once instead of waiting as long, until the
  server says anything at all. If it stays silent for ``PATIENCE`` time limits, the connection is given up.
- A reply nobody asked for, or bytes that are not RESP, end the connection: its order can no longer be trusted.

How late the server is, is counted in looks at the oldest call that waits, one each ``LOOK`` seconds and never two in a
turn of the event loop. A reply that lies in the socket while the loop is busy is read before the next look but one, so
a process that is held up does not take that for the server's slowness.

Push messages go to a callback in the order in which they arrive among the replies.

**Source:** RESP3 specification (redis/redis-specifications, protocol/RESP3.md).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from tailrace.errors import StoreUnavailableError
from tailrace.extras import require

__all__ = ["Connection", "Refusal", "pack"]

_hiredis = require("hiredis", "valkey")
Refusal: type[Exception] = _hiredis.ReplyError
"""What a reply is when the server refused the command; its text begins with a code, as in ``READONLY ...``."""
_Push: type[list[Any]] = _hiredis.PushNotification
_NOTHING = object()

MOST_CALLS = 10_000
"""Calls that may wait for replies at once; one more is refused."""
WRITE_BUFFER = 64 * 1024 * 1024
"""Bytes that may wait to be sent; while more do, calls are refused."""
LATE = 0.02
"""Seconds: a timer later than this means that the event loop was held up, not the server."""
LOOK = 0.01
"""Seconds between two looks at how long the oldest call has waited."""
PATIENCE = 4
"""Time limits for which a server may be silent, with a call waiting, before the connection is given up."""


def pack(command: Sequence[str | bytes | int]) -> bytes:
    """One command, encoded. Any text is allowed: a lone surrogate is sent as its own three bytes."""
    try:
        return cast("bytes", _hiredis.pack_command(tuple(command)))
    except UnicodeEncodeError:
        safe = (part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in command)
        return cast("bytes", _hiredis.pack_command(tuple(safe)))


class _Call:
    __slots__ = ("deadline", "expected", "future", "looks", "replies", "stalls")

    def __init__(
        self, future: asyncio.Future[list[Any]], expected: int, deadline: float, stalls: int, looks: int
    ) -> None:
        self.future = future
        self.expected = expected
        self.replies: list[Any] = []
        self.deadline = deadline
        self.stalls = stalls
        self.looks = looks


class Connection(asyncio.Protocol):
    """A connection from the moment it is made until it is lost; it never comes back.

    Args:
        timeout: seconds a call may take.
        on_push: receives each push message, as a list.
        on_change: called after ``usable``, ``trusted`` or ``closed`` has changed.
    """

    def __init__(
        self,
        *,
        timeout: float,
        on_push: Callable[[list[Any]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._on_push = on_push
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._reader = _hiredis.Reader(notEnoughData=_NOTHING)
        self._pending: deque[_Call] = deque()
        self._expired = 0
        self._outgoing: list[bytes] = []
        self._queued = 0
        self._stalls = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # beside the timer, since what uvloop returns for a moment that is past does not tell it
        self._looks = 0
        self._looking: asyncio.TimerHandle | None = None
        self._full = False
        self._lenient = False
        self.usable = False
        """True while calls are taken: connected and nothing overdue."""
        self.trusted = False
        """True while pushes are known to keep up: false from a stall until a call made after it has been answered.

        The first bytes after a stall may be old ones, with the pushes that matter still behind them."""
        self.closed = False
        self.reason = "not connected"
        """Why calls are not taken, for messages."""
        self.delay = 0.0
        """Seconds for which the slowest call since the last ``measure`` has waited for the server, rounded down."""
        self.writes = 0
        """How often something was sent; calls made while it stays the same leave together."""

    def send(self, payload: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """Send commands that will have ``replies`` replies; the future holds them, refusals among them.

        The future raises ``StoreUnavailableError`` when time runs out or the connection is lost.

        Raises:
            StoreUnavailableError: at once, when the connection is lost, stalled or full.
        """
        if not self.usable:
            raise StoreUnavailableError(self.reason)
        if self._full or self._queued > WRITE_BUFFER or len(self._pending) >= MOST_CALLS:
            raise StoreUnavailableError("too much waits for the store already")
        loop = self._loop
        call = _Call(loop.create_future(), replies, loop.time() + self._timeout, self._stalls, self._looks)
        self._pending.append(call)
        if not self._outgoing:
            loop.call_soon(self._flush)
        self._outgoing.append(payload)
        self._queued += len(payload)
        if self._timer is None:
            self._due = call.deadline
            self._timer = loop.call_at(call.deadline, self._check_time)
        if self._looking is None:
            self._looking = loop.call_later(LOOK, self._look)
        return call.future

    async def measure(self, payload: bytes) -> Any:
        """``send`` for one reply, which tells how late the server is: ``delay`` is then what this one waited.

        Raises:
            StoreUnavailableError: the connection is lost or stalled, or there was no reply in time; ``delay`` stays.
        """
        looks = self._looks
        [reply] = await self.send(payload, 1)
        self.delay = _waited(looks, self._looks)
        return reply

    def limit(self, timeout: float) -> None:
        """From now on a call may take ``timeout`` seconds; to be set only while none waits."""
        self._timeout = timeout
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, reason: str) -> None:
        """Fail every call that waits, and let go. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self.usable = self.trusted = False
        self.reason = reason
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._outgoing.clear()
        for call in self._pending:
            if not call.future.done():
                call.future.set_exception(StoreUnavailableError(reason))
        self._pending.clear()
        if self._transport is not None:
            self._transport.abort()
        self._on_change()

    # --- called by the transport -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self.usable = self.trusted = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.close("the connection was lost")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        if not self.usable:
            self.usable = True
            self._on_change()
        try:
            self._reader.feed(data)
            while (message := self._reader.gets()) is not _NOTHING and not self.closed:
                if isinstance(message, _Push):
                    self._on_push(message)
                else:
                    self._take(message)
        except (_hiredis.ProtocolError, TypeError):  # the latter for maps whose keys no dictionary takes
            self.close("the server answered something that is not RESP")

    # --- private -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._transport is None or self.closed:
            return
        self.writes += 1
        self._queued = 0
        outgoing, self._outgoing = self._outgoing, []
        self._transport.write(b"".join(outgoing))

    def _take(self, reply: Any) -> None:
        if not self._pending:
            self.close("the server answered without being asked")
            return
        call = self._pending[0]
        call.replies.append(reply)
        if len(call.replies) < call.expected:
            return
        self._pending.popleft()
        if self._expired:
            # Time limits are equal, so calls expire in the order of the queue: the expired ones are its head.
            self._expired -= 1
        if not call.future.done():
            call.future.set_result(call.replies)
        if not self.trusted and call.stalls == self._stalls:
            self.trusted = True
            self._on_change()

    def _look(self) -> None:
        self._looks += 1
        self._looking = None
        if self._pending:
            self.delay = max(self.delay, _waited(self._pending[0].looks, self._looks))
            self._looking = self._loop.call_later(LOOK, self._look)

    def _check_time(self) -> None:
        """One timer for all calls: fail those overdue, give up on a silent server, look again for the next."""
        now = self._loop.time()
        if self._timer is not None and now - self._due > LATE and not self._lenient:
            # Some loops run timers before they read: replies that lie in the socket get their chance first.
            self._lenient = True
            self._timer = self._loop.call_later(0.001, self._check_time)
            return
        self._lenient = False
        self._timer = None
        overdue = False
        for call in itertools.islice(self._pending, self._expired, None):
            if call.deadline > now:
                break
            self._expired += 1
            overdue = True
            if not call.future.done():
                call.future.set_exception(StoreUnavailableError("the store did not answer in time"))
        if not self._pending:
            return
        give_up = self._pending[0].deadline + (PATIENCE - 1) * self._timeout
        if self._expired and give_up <= now:
            self.close("the server has fallen silent")
            return
        due = give_up
        if self._expired < len(self._pending):
            due = min(give_up, self._pending[self._expired].deadline)
        self._due = due
        self._timer = self._loop.call_at(due, self._check_time)
        if overdue:
            self._stalls += 1
            self.usable = self.trusted = False
            self.reason = "the store did not answer in time"
            self._on_change()


def _waited(first: int, last: int) -> float:
    """Seconds that have passed for certain between two counts of looks: the first may have come at once, and some loops
    look before they read."""
    return max(0, last - first - 2) * LOOK
