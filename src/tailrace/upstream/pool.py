"""Kept connections to one origin. Touches: sockets.

One origin is all that is needed, so the pool is a stack: the connection used last is the likeliest to be alive, and
nothing is looked at that is not used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from tailrace.errors import SettingsError, UpstreamError, UpstreamUnavailableError
from tailrace.upstream.http1 import DEFAULT_PORTS, authority

__all__ = ["Pool", "Pooled"]

KEEP_ALIVE = 60.0
"""Seconds for which an idle connection is kept. Most servers and balancers keep theirs as long; where one does not, the
call that finds out goes out again on a new connection."""


class Pooled(Protocol):
    """A connection.

    Attributes:
        closed: it carries nothing any more.
        idle_since: the loop's time when it was used last.
        keep_for: seconds from then on for which the other side keeps it, as far as that is known.
    """

    closed: bool
    idle_since: float
    keep_for: float

    def close(self) -> None: ...


C = TypeVar("C", bound=Pooled)


class Pool(Generic[C]):
    """Connections to one origin, those not in use kept open.

    Args:
        name: the dependency, for messages.
        base_url: ``http://host:port`` or ``https://...``; a path is ignored here.
        connect: opens one connection to host and port.
        keep: most idle connections kept; no fewer than calls under way, or connections are opened again and again.
        tls: how certificates are checked; default: the system's authorities.

    Attributes:
        host_header: the origin, as the ``Host`` field names it.

    Raises:
        SettingsError: ``base_url`` is not such a URL.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        connect: Callable[[str, int, ssl.SSLContext | None], Awaitable[C]],
        *,
        keep: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._name = name
        scheme, self._host, self._port = _origin(name, base_url)
        self._tls = (tls or ssl.create_default_context()) if scheme == "https" else None
        self.host_header = authority(scheme, self._host, self._port).encode("ascii")
        self._connect = connect
        self._keep = keep
        self._idle: deque[C] = deque()
        self._closed = False

    def __len__(self) -> int:
        """How many are kept open and unused."""
        return len(self._idle)

    def take(self, longest_idle: float = KEEP_ALIVE) -> C | None:
        """The idle connection used last, if that was not longer ago than ``longest_idle`` seconds.

        Raises:
            UpstreamError: the pool is closed.
        """
        if self._closed:
            raise UpstreamError(f"{self._name}: the client is closed")
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle[-1]
            idle = now - connection.idle_since
            if not connection.closed and idle <= min(connection.keep_for, KEEP_ALIVE):
                return self._idle.pop() if idle <= longest_idle else None
            self._idle.pop().close()
        return None

    async def connect(self) -> C:
        """A new connection.

        Raises:
            UpstreamError: TLS failed.
            UpstreamUnavailableError: it cannot be reached.
        """
        try:
            return await self._connect(self._host, self._port, self._tls)
        except ssl.SSLError as error:
            raise UpstreamError(f"{self._name}: TLS failed ({type(error).__name__})") from error
        except OSError as error:
            raise UpstreamUnavailableError(f"{self._name}: cannot connect ({type(error).__name__})") from error

    def give_back(self, connection: C) -> None:
        """Keep ``connection`` for others, if it can carry another request."""
        if connection.closed:
            return
        if self._closed or len(self._idle) >= self._keep:
            connection.close()
            return
        self._idle.append(connection)
        now = connection.idle_since
        while self._idle[0].closed or self._idle[0].idle_since + KEEP_ALIVE < now:  # the longest unused stand first
            self._idle.popleft().close()

    async def aclose(self) -> None:
        """Close the idle connections, and those in use when they are given back. Idempotent."""
        self._closed = True
        while self._idle:
            self._idle.popleft().close()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next turn


def _origin(name: str, base_url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError:
        raise SettingsError(f"{name}: base_url is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise SettingsError(f"{name}: base_url must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SettingsError(f"{name}: base_url must hold no credentials, query or fragment")
    return parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]
