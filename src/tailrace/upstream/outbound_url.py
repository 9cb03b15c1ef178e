"""URLs that strangers name, read in one way only. Pure.

What is judged must be what is asked, so a URL is taken apart once, here, and everything after works on the parts. What
two readers could understand differently is refused instead of repaired: spaces and control characters, backslashes,
credentials, numbers for hosts in any spelling but four decimal parts.

**Source:** RFC 3986 sections 3 and 6.2 and appendix B; RFC 9110 section 4.2; WHATWG URL, sections 3.5 (host parsing,
"ends in a number") and 4.4; RFC 1123 section 2.1 (host names); UTS 46 (names that are not ASCII).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

from tailrace.errors import UrlRefusedError
from tailrace.extras import require
from tailrace.upstream.http1 import DEFAULT_PORTS, authority
from tailrace.upstream.public_address import Address

__all__ = ["LONGEST_URL", "OutboundUrl", "join_url", "parse_url"]

LONGEST_URL = 2_048
"""Characters; a longer URL is refused."""

_UNREADABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff\u2028\u2029]")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{0,5}))?")
_NAMED = re.compile(r"([^:\[\]%]+)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"
_SAFE_IN_QUERY = _SAFE_IN_PATH + "?"


@dataclass(frozen=True, slots=True)
class OutboundUrl:
    """One URL of scheme http or https, in parts.

    Attributes:
        host: ASCII, lower case, without brackets or a dot at its end.
        address: the host, if it is an address and no name.
        path: begins with a slash; with ``query`` it is ASCII, and what cannot be sent as it stands is quoted.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    address: Address | None

    @property
    def origin(self) -> str:
        """Scheme, host and port; the port only if it is not the scheme's own."""
        return f"{self.scheme}://{authority(self.scheme, self.host, self.port)}"

    def __str__(self) -> str:
        """The URL in one spelling, without its fragment, which no server is told."""
        return self.origin + self.path + (f"?{self.query}" if self.query else "")


def parse_url(text: str) -> OutboundUrl:
    """Take ``text`` apart.

    Raises:
        UrlRefusedError: it is no http or https URL, or two readers could understand it differently.
        MissingExtraError: its host is not ASCII, and idna is not installed.

    >>> str(parse_url("HTTP://Example.com:80/a b".replace(" ", "%20") + "#top"))
    'http://example.com/a%20b'
    """
    if len(text) > LONGEST_URL:
        raise UrlRefusedError(f"the URL is longer than {LONGEST_URL} characters", reason="length")
    if _UNREADABLE.search(text):
        raise UrlRefusedError("the URL has a space, a control character or a backslash in it", reason="characters")
    parts = _URL.fullmatch(text)
    if parts is None or parts[1].lower() not in DEFAULT_PORTS:
        raise UrlRefusedError("the URL must begin with http:// or https://", reason="scheme")
    name = parts[1].lower()
    host, port, address = _authority(parts[2], DEFAULT_PORTS[name])
    path = quote(parts[3] or "/", safe=_SAFE_IN_PATH)
    return OutboundUrl(name, host, port, path, quote(parts[4] or "", safe=_SAFE_IN_QUERY), address)


def join_url(base: OutboundUrl, location: str) -> OutboundUrl:
    """Where a redirect from ``base`` leads to.

    Args:
        location: the header field's value as it is decoded from Latin-1; servers that send UTF-8 are understood.

    Raises:
        UrlRefusedError: as :func:`parse_url`.
    """
    try:
        location = location.encode("latin-1").decode()
    except UnicodeError:
        raise UrlRefusedError("the redirect leads to what is no URL", reason="characters") from None
    if len(location) > LONGEST_URL or _UNREADABLE.search(location):  # before anything is left out of it by joining
        raise UrlRefusedError("the redirect leads to what is no URL", reason="characters")
    try:
        joined = urljoin(str(base), location)
    except ValueError:
        raise UrlRefusedError("the redirect leads to what is no URL", reason="host") from None
    return parse_url(joined)


def _authority(text: str, default_port: int) -> tuple[str, int, Address | None]:
    """Host, port and address."""
    if "@" in text:
        raise UrlRefusedError("the URL has credentials in it", reason="credentials")
    bracketed = _BRACKETED.fullmatch(text)
    parts = bracketed or _NAMED.fullmatch(text)
    if parts is None:
        raise UrlRefusedError("the URL's host or port cannot be read", reason="host")
    port = int(parts[2]) if parts[2] else default_port
    if not 0 < port < 65_536:
        raise UrlRefusedError("the URL's port is not between 1 and 65535", reason="port")
    if bracketed:
        try:
            ipv6 = IPv6Address(parts[1])
        except ValueError:
            raise UrlRefusedError("the URL's host is no IPv6 address", reason="host") from None
        return str(ipv6), port, ipv6
    host, ipv4 = _host(parts[1])
    return host, port, ipv4


def _host(text: str) -> tuple[str, IPv4Address | None]:
    """A name, or an IPv4 address in its one accepted spelling."""
    host = (text if text.isascii() else _ascii(text)).lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefusedError("the URL's host is no host name", reason="host")
    if not _NUMBER.fullmatch(labels[-1]):
        return host, None
    try:
        address = IPv4Address(host)
    except ValueError:
        raise UrlRefusedError("the URL's host is a number: write it as four decimal parts", reason="host") from None
    return host, address


def _ascii(text: str) -> str:
    idna = require("idna", "upstream")
    try:
        return str(idna.encode(text, uts46=True).decode("ascii"))
    except idna.IDNAError:
        raise UrlRefusedError("the URL's host is no host name", reason="host") from None
