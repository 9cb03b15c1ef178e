"""Which address a request comes from, where proxies stand before the server. Pure.

A proxy adds the address that it was asked from behind whatever its client sent, so the list is read from the right, and
only as far as the word of those who wrote it counts: each address is believed because a trusted proxy has written it,
and the first that is not a trusted proxy itself is the client's. What stands further left was written by the client.

Which of the two header fields the proxies keep is a setting: the other one passes through them as the client sent it.

IPv6 clients are known by their first 64 bits, since a network hands out that many addresses to each customer at least.

**Source:** RFC 7239 (Forwarded) sections 4, 5.2, 6 and 8.1; RFC 4291 sections 2.5.4 and 2.5.5.2; RFC 6177.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["ClientAddresses", "parse_networks"]

MAX_BYTES = 2048
"""What is read of the header field, from its end."""
MAX_HOPS = 32
"""Addresses that are looked at, from the right."""
REMEMBERED = 8192
"""Most addresses whose form is remembered."""
UNKNOWN = "unknown"
"""The address of a client that the server does not name, as over a Unix socket without a proxy's word."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> tuple[tuple[Network, ...], bool]:
    """Read ``10.0.0.0/8, ::1, unix``: networks and single addresses, and whether a Unix socket's other end is trusted.

    Raises:
        ValueError: one of them is neither.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    networks = tuple(ipaddress.ip_network(word) for word in words if word != "unix")
    return networks, "unix" in words


class ClientAddresses:
    """Finds out addresses.

    Args:
        trusted: the proxies, as ``parse_networks`` reads them; by default none, and then nobody's word counts.
        field: the header field that they keep.

    Raises:
        ValueError: ``trusted`` cannot be read.

    Cost: a look-up for an address that was seen before; 3 microseconds for another.
    """

    def __init__(self, trusted: str = "", field: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for") -> None:
        self._networks, self._trusts_socket = parse_networks(trusted)
        self._field = field.encode("ascii")
        self._forwarded = field == "forwarded"
        self._known: dict[str, tuple[str, bool] | None] = {}

    def of(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
        """The client's address: an IPv4 address, the /64 network of an IPv6 address, or ``unknown``."""
        client = scope.get("client")
        if client and client[0]:
            address, trusted = self._known.get(client[0]) or self._look_up(client[0]) or (UNKNOWN, False)
        else:
            address, trusted = UNKNOWN, self._trusts_socket
        if not trusted or self._field not in headers:
            return address
        for written in self._from_the_right(headers[self._field]):
            found = self._look_up(written)
            if found is None:
                break  # no address: whoever wrote it is the last that is known
            address, trusted = found
            if not trusted:
                break
        return address

    def trusts(self, peer: str) -> bool:
        """Whether the word of who is connected from ``peer`` counts; otherwise ``peer`` alone tells the address."""
        return not peer or (self._look_up(peer) or (UNKNOWN, False))[1]

    def _from_the_right(self, value: bytes) -> list[str]:
        # Split at every comma, quoted or not: what trusted proxies write has none in quotes, and a quote that a client
        # has left open must not swallow what they added.
        parts = value[-MAX_BYTES:].split(b",")
        if len(value) > MAX_BYTES:
            del parts[0]
        parts = parts[-MAX_HOPS:]
        parts.reverse()
        texts = [part.decode("latin-1").strip() for part in parts]
        return [_node(text) for text in texts] if self._forwarded else texts

    def _look_up(self, written: str) -> tuple[str, bool] | None:
        if written in self._known:
            return self._known[written]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        found = self._known[written] = self._read(written)
        return found

    def _read(self, written: str) -> tuple[str, bool] | None:
        try:
            address = ipaddress.ip_address(_without_port(written))
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        trusted = any(address in network for network in self._networks)
        if isinstance(address, ipaddress.IPv4Address):
            return str(address), trusted
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64))), trusted


def _without_port(written: str) -> str:
    """``192.0.2.1:80`` and ``[2001:db8::1]:80`` without the port; a zone (``%eth0``) goes too."""
    if written.startswith("["):
        written = written[1:].partition("]")[0]
    elif written.count(":") == 1:
        written = written.partition(":")[0]
    return written.partition("%")[0]


def _node(element: str) -> str:
    """What ``for=`` says in one element of ``Forwarded``; "" if it says nothing."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""
