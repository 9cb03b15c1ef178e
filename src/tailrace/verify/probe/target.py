"""The address that is probed, and requests to it. Touches: sockets.

Only GET, HEAD and TRACE, which are safe, are ever sent, and only to the address's own host: a probe changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from tailrace.clock import Clock, SystemClock
from tailrace.core.retry_after import parse_retry_after
from tailrace.errors import SettingsError
from tailrace.verify.client import Connections, ExchangeFailedError, Request
from tailrace.verify.http1 import Response

__all__ = ["Target"]

AT_ONCE = 10
"""Requests under way in a burst."""
REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""Answers that say nothing of the service but that it takes no more."""
PAUSE = 1.0
"""Seconds to wait after a refusal that does not say when to come again."""
SHORTEST_PAUSE = 0.05


class Target:
    """One address of one service.

    Args:
        url: ``http://host:port/path?query``.
        headers: sent with every request, for example ``Authorization``; never shown.
        timeout: seconds for each request.
        patience: seconds to wait in all until a limit admits again.
        clock: wall time, and the waiting.

    Attributes:
        refused: requests that were refused in spite of it.

    Raises:
        SettingsError: the address or a header cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        patience: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        parts = urlsplit(url)
        try:
            self._connections = Connections(f"{parts.scheme}://{parts.netloc}", timeout=timeout)
        except ValueError:
            raise SettingsError(f"not an http address: {url}") from None
        self.url = url
        self.refused = 0
        self._patience = patience
        self._clock = clock or SystemClock()
        self.path = parts.path or "/"
        self.query = parts.query
        self.headers = {"User-Agent": "tailrace-probe", "Accept": "application/json, */*;q=0.5", **(headers or {})}
        self.authenticated = any(name.lower() in ("authorization", "cookie", "x-api-key") for name in self.headers)

    async def __aenter__(self) -> Target:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connections.close()

    @property
    def place(self) -> str:
        """Path and query of the address."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def with_query(self, extra: str) -> str:
        """The address's path with ``extra`` put before its own query, so that it counts where the first one does."""
        return f"{self.path}?{extra}&{self.query}" if self.query else f"{self.path}?{extra}"

    async def ask(self, place: str | None = None, *, method: str = "GET", **headers: str) -> Response:
        """One request, made again while a limit refuses it, as long as patience lasts.

        Args:
            headers: with ``_`` for ``-``; they go out beside the caller's own.

        Raises:
            ExchangeFailedError: no whole response.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request("probe", place or self.place, method, {**self.headers, **named})
        while (answer := await self._connections.send(request)).status in REFUSALS:
            asked = parse_retry_after(answer.header("retry-after"), self._clock.now())
            pause = PAUSE if asked is None else max(asked, SHORTEST_PAUSE)
            if pause > self._patience:
                self.refused += 1
                break
            self._patience -= pause
            await self._clock.sleep(pause)
        return answer

    async def try_asking(self, place: str | None = None, *, method: str = "GET", **headers: str) -> Response | None:
        """``ask``; None where the service closed the connection, as it may on what it finds malformed."""
        try:
            return await self.ask(place, method=method, **headers)
        except ExchangeFailedError as error:
            if error.kind == "closed":
                return None
            raise

    async def burst(self, number: int) -> list[Response]:
        """``number`` requests, a few at a time, made once whatever is answered.

        Raises:
            ExchangeFailedError: one of them got no whole response.
        """
        slots = asyncio.Semaphore(AT_ONCE)

        async def one() -> Response:
            async with slots:
                return await self._connections.send(Request("probe", self.place, "GET", self.headers))

        return list(await asyncio.gather(*(one() for _ in range(number))))
