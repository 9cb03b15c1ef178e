"""Fetches documents by URLs that strangers name. Touches: DNS, sockets, the clock and randomness given.

Each origin has an upstream client of its own, so that the bad days of one (its breaker, its retries, its full queue)
are not another's; how many of them are remembered is bounded, and so is how much is fetched at once. Redirects are
followed here, hop by hop, each judged like the URL that was named.

**Source:** RFC 9110 sections 10.2.2 (Location) and 15.4 (redirects); Fetch (WHATWG) section 4.4 (HTTP-redirect fetch).
"""

from __future__ import annotations

import random as _random
import ssl
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tailrace.clock import Clock, SystemClock
from tailrace.errors import UpstreamRedirectedError, UrlRefusedError
from tailrace.events import CircuitChanged, Event, Observer
from tailrace.resilience.bulkhead import Bulkhead
from tailrace.resilience.deadline import deadline_within
from tailrace.settings import OutboundSettings, UpstreamSettings
from tailrace.upstream.client import UpstreamClient
from tailrace.upstream.guard import OutboundGuard
from tailrace.upstream.message import UpstreamResponse, media_type
from tailrace.upstream.outbound_url import OutboundUrl, join_url
from tailrace.upstream.transport import HttpTransport

__all__ = ["FetchedDocument", "OutboundFetcher"]


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """What a URL led to.

    Attributes:
        url: where it was found, after redirects, in one spelling.
        media_type: lower case, without parameters; "" if the answer said none.
        headers: names in lower case.
    """

    url: str
    media_type: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Origin:
    client: UpstreamClient
    users: int = 0


class OutboundFetcher:
    """Use it as an async context manager, or call ``aclose``.

    Args:
        name: in events, metrics and messages, for all origins together.
        guard: by default one by ``settings``.
        headers: sent to every origin, such as ``user-agent``; no credentials.
        media_types: lower case; documents of others are refused before they are read. Empty: any.
        observer: told of calls, failed attempts and full queues; not of breakers, which are each origin's.
        tls: how certificates are checked; default: the system's authorities.
        random: gives evenly distributed numbers in 0..1, for the jitter of pauses.

    Raises:
        SettingsError: ``settings.allowed_networks`` cannot be read.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: OutboundSettings | None = None,
        guard: OutboundGuard | None = None,
        headers: Mapping[str, str] | None = None,
        media_types: Collection[str] = (),
        clock: Clock | None = None,
        observer: Observer | None = None,
        tls: ssl.SSLContext | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._name = name
        self._settings = settings = settings or OutboundSettings()
        self._guard = guard or OutboundGuard(settings)
        self._media_types = frozenset(media_types)
        self._headers = ({"accept": ", ".join(sorted(media_types))} if media_types else {}) | dict(headers or {})
        self._clock = clock or SystemClock()
        self._observer = None if observer is None else _without_circuits(observer)
        self._tls = tls or ssl.create_default_context()  # one for all: making it takes milliseconds
        self._random = random
        self._bulkhead = Bulkhead(
            name,
            concurrency=settings.concurrency,
            queue=settings.queue,
            queue_timeout=settings.queue_timeout,
            clock=self._clock,
            observer=self._observer,
        )
        self._client_settings = UpstreamSettings(
            attempt_timeout=settings.attempt_timeout,
            total_timeout=settings.total_timeout,
            max_retries=settings.max_retries,
            concurrency=settings.concurrency_per_origin,
            queue=settings.queue,
            queue_timeout=settings.queue_timeout,
            max_response_bytes=settings.max_response_bytes,
        )
        self._origins: OrderedDict[str, _Origin] = OrderedDict()

    @property
    def origins(self) -> int:
        """Origins remembered."""
        return len(self._origins)

    async def fetch(self, url: str, *, headers: Mapping[str, str] | None = None) -> FetchedDocument:
        """GET ``url`` and return what it leads to; only an answer with 2xx is one.

        Args:
            headers: for the origin of ``url`` alone, such as credentials: where a redirect leads away from it, they
                stay behind.

        Raises:
            UrlRefusedError: ``url``, or where it leads to, is not to be asked.
            UpstreamTimeoutError: not fetched in time.
            UpstreamUnavailableError, CircuitOpenError, BulkheadFullError: it may do so later.
            UpstreamRejectedError: any other answer than 2xx.
            UpstreamError: the answer is too large, of another media type, or coded in a way that was not asked for.
        """
        checked = self._guard.check(url)
        with deadline_within(self._settings.total_timeout, self._clock):
            return await self._bulkhead.call(lambda: self._follow(checked, headers or {}))

    async def aclose(self) -> None:
        """End what is under way and close the connections. Idempotent."""
        while self._origins:
            _, origin = self._origins.popitem()
            await origin.client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _follow(self, url: OutboundUrl, headers: Mapping[str, str]) -> FetchedDocument:
        for _ in range(self._settings.max_redirects + 1):
            try:
                response = await self._ask(url, headers)
            except UpstreamRedirectedError as redirect:
                following = join_url(url, redirect.location)
                self._guard.judge(following)
                if url.scheme == "https" and following.scheme == "http":
                    raise UrlRefusedError("a redirect leads from https to http", reason="downgrade") from None
                if following.origin != url.origin:
                    headers = {}
                url = following
                continue
            return FetchedDocument(str(url), media_type(response.headers), response.headers, response.body)
        raise UrlRefusedError(f"more than {self._settings.max_redirects} redirects", reason="redirects")

    async def _ask(self, url: OutboundUrl, headers: Mapping[str, str]) -> UpstreamResponse:
        origin = self._origin(url.origin)
        origin.users += 1
        try:
            return await origin.client.request("GET", url.path, query=url.query, headers=headers)
        finally:
            origin.users -= 1
            await self._forget_the_oldest()

    def _origin(self, address: str) -> _Origin:
        origin = self._origins.get(address)
        if origin is None:
            origin = self._origins[address] = _Origin(self._client(address))
        self._origins.move_to_end(address)
        return origin

    def _client(self, address: str) -> UpstreamClient:
        settings = self._settings
        transport = HttpTransport(
            self._name,
            address,
            keep=settings.concurrency_per_origin,
            max_response_bytes=settings.max_response_bytes,
            tls=self._tls,
            connect=self._guard.connect,
            media_types=self._media_types,
        )
        return UpstreamClient(
            self._name,
            address,
            settings=self._client_settings,
            headers=self._headers,
            clock=self._clock,
            observer=self._observer,
            transport=transport,
            random=self._random,
            guard=self._guard,
        )

    async def _forget_the_oldest(self) -> None:
        while len(self._origins) > self._settings.origins:
            address = next((address for address, origin in self._origins.items() if not origin.users), None)
            if address is None:
                return
            await self._origins.pop(address).client.aclose()


def _without_circuits(observer: Observer) -> Observer:
    """One name stands for many origins, and a breaker's state is that of one."""

    def observe(event: Event) -> None:
        if not isinstance(event, CircuitChanged):
            observer(event)

    return observe
