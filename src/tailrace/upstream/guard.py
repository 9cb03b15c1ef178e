"""Keeps URLs that strangers name from reaching what only this machine or its network may (SSRF). Touches: DNS, sockets.

A name is resolved once, every address of the answer is judged, and the connection is made to a judged address by its
number: there is no second look-up whose answer could differ from the one that was judged (DNS rebinding). TLS still
checks the certificate against the name.

That a name does not exist and that it leads to an address that is not public is the same refusal, so that nobody learns
from it which names a private network knows.

**Source:** OWASP, Server-Side Request Forgery Prevention Cheat Sheet; RFC 6125 (names in certificates).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TypeVar

from tailrace.errors import SettingsError, UrlRefusedError
from tailrace.settings import OutboundSettings
from tailrace.upstream.connection import Connection, connect
from tailrace.upstream.outbound_url import OutboundUrl, parse_url
from tailrace.upstream.public_address import Address, parse_networks, why_not_public
from tailrace.upstream.stream_connection import StreamConnection, connect_stream

__all__ = ["OutboundGuard", "Resolve", "SystemResolver"]

MOST_ADDRESSES = 8
"""Addresses of one host that are tried, one after the other."""

ADDRESS_TIMEOUT = 1.0
"""Seconds for the connection to one address while there is another to try; the last has all the time there is."""

RESOLVING_THREADS = 4
"""Look-ups at once; they have threads of their own, so that slow names cannot use up those of the process."""

C = TypeVar("C", Connection, StreamConnection)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host for connections to a port; raises ``OSError`` (``socket.gaierror``) if it cannot."""

_NO_SUCH_NAME = {
    code
    for code in (getattr(socket, name, None) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY"))
    if code is not None
}


class SystemResolver:
    """Resolves as the machine does: hosts file, DNS and what else it is set up for."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVING_THREADS, thread_name_prefix="tailrace-resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of ``host``; see :data:`Resolve`."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]


class OutboundGuard:
    """Decides which URLs may be asked, and connects to those.

    Args:
        resolve: in place of the machine's own resolver.

    Raises:
        SettingsError: ``allowed_networks`` cannot be read.
    """

    def __init__(self, settings: OutboundSettings | None = None, *, resolve: Resolve | None = None) -> None:
        settings = settings or OutboundSettings()
        try:
            self._allowed = parse_networks(settings.allowed_networks)
        except ValueError as error:
            raise SettingsError(f"outbound.allowed_networks: {error}") from None
        self._ports = settings.ports
        self._resolve = resolve or SystemResolver()

    def check(self, url: str) -> OutboundUrl:
        """Read ``url`` and judge all of it that needs no look-up.

        Raises:
            UrlRefusedError: its shape, its port, or its address if that is its host.
        """
        parsed = parse_url(url)
        self.judge(parsed)
        return parsed

    def judge(self, url: OutboundUrl) -> None:
        """Judge all of ``url`` that needs no look-up.

        Raises:
            UrlRefusedError: the port or the address is not one to ask.
        """
        if url.port not in self._ports:
            raise UrlRefusedError("the URL's port is not allowed", reason="port")
        if url.address is not None:
            self._judge_address(url.address)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Resolve ``host``, once, if it is no address itself; every address of the answer has been judged.

        Raises:
            UrlRefusedError: it has no address, or one of them is not to be asked.
            OSError: it cannot be resolved just now.
        """
        found = [ip_address(text) for text in dict.fromkeys(await self._answer(host, port))]
        if not found or not all(map(self._allows, found)):  # good and bad together is how rebinding begins
            raise UrlRefusedError("the URL's host has no public address", reason="address")
        return found

    async def connect(self, host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
        """Connect to a judged address of ``host``; with ``tls``, the certificate is checked against ``host``.

        Raises:
            UrlRefusedError: as :meth:`addresses`.
            OSError: it cannot be resolved or reached.
        """
        return await self._connect(connect, host, port, tls)

    async def connect_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> StreamConnection:
        """The same, for a response that is read while it arrives."""
        return await self._connect(connect_stream, host, port, tls)

    async def _connect(
        self, open_to: Callable[..., Awaitable[C]], host: str, port: int, tls: ssl.SSLContext | None
    ) -> C:
        *others, last = (await self.addresses(host, port))[:MOST_ADDRESSES]
        for address in others:
            try:
                async with asyncio.timeout(ADDRESS_TIMEOUT):
                    return await open_to(str(address), port, tls, name=host)
            except OSError:  # a timeout is one, too: the next address may do
                continue
        return await open_to(str(last), port, tls, name=host)

    async def _answer(self, host: str, port: int) -> Sequence[str]:
        if _is_address(host):
            return [host]
        try:
            return await self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                return []
            raise

    def _judge_address(self, address: Address) -> None:
        if not self._allows(address):
            raise UrlRefusedError(f"the URL's address is not public ({why_not_public(address)})", reason="address")

    def _allows(self, address: Address) -> bool:
        return why_not_public(address) is None or any(address in network for network in self._allowed)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
