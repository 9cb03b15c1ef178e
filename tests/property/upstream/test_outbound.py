"""No URL and no address, however odd, is taken for a public one that is not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.errors import UrlRefusedError
from tailrace.settings import OutboundSettings
from tailrace.upstream import OutboundGuard
from tailrace.upstream.outbound_url import join_url, parse_url
from tailrace.upstream.public_address import why_not_public

IPV4 = st.ip_addresses(v=4)  # Hypothesis prefers addresses of special networks
IPV6 = st.ip_addresses(v=6)
NUMBERS = st.integers(0, 2**32 - 1)
GUARD = OutboundGuard()
ODD = st.text(st.sampled_from("htps:/\\.@#?[]%0x127afe8 \t\n１。ß-_é\u200b\u00ad&=+,;~$|^`{}<>\"'"), max_size=60)

# Special by the registries, and global by ipaddress, which follows their column "globally reachable".
REACHABLE_ALL_THE_SAME = [
    IPv6Network(text)
    for text in ("2001:1::/32", "2001:3::/32", "2001:4:112::/48", "2001:20::/28", "2001:30::/28", "2620:4f:8000::/48")
]


@given(IPV4 | NUMBERS.map(IPv4Address))
def test_ipv4_is_judged_as_python_does_or_more_strictly(address: IPv4Address) -> None:
    """What is public here is global by ``ipaddress``; the difference is known by name."""
    strict = {"192.31.196", "192.52.193", "192.88.99", "192.175.48", "192.0.0"}
    if why_not_public(address) is None:
        assert address.is_global
        assert not address.is_multicast
    elif address.is_global and not address.is_multicast:
        assert str(address) == "168.63.129.16" or str(address).rpartition(".")[0] in strict


@given(IPV6 | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_ipv6_is_judged_as_python_does_or_more_strictly(address: IPv6Address) -> None:
    """What is public here is global by ``ipaddress`` and of the global unicast space, NAT64 excepted."""
    if address in IPv6Network("64:ff9b::/96"):
        return  # see below
    if why_not_public(address) is None:
        assert address.is_global
        assert not any((address.is_multicast, address.ipv4_mapped, address.sixtofour, address.teredo))
        assert address in IPv6Network("2000::/3")
    elif address in IPv6Network("2000::/3") and address.is_global:
        reserved = address in IPv6Network("2001::/23") or address in IPv6Network("2002::/16")
        documentation = address in IPv6Network("3fff::/20")  # not known to older Pythons
        assert reserved or documentation or any(address in network for network in REACHABLE_ALL_THE_SAME)


@given(IPV4 | NUMBERS.map(IPv4Address), st.integers(0, 2**64 - 1))
def test_wrappings_hide_nothing(inside: IPv4Address, other: int) -> None:
    """An IPv4 address inside an IPv6 address is refused, but for NAT64's own prefix, where it decides."""
    number = int(inside)
    compatible, mapped, translated = number, 0xFFFF << 32 | number, 0xFFFF << 48 | number
    six_to_four = 0x2002 << 112 | number << 80 | other
    teredo = 0x2001_0000 << 96 | other << 32 | (number ^ 0xFFFF_FFFF)
    local_nat64 = 0x64_FF9B_0001 << 80 | number
    for wrapped in (compatible, mapped, translated, six_to_four, teredo, local_nat64):
        assert why_not_public(IPv6Address(wrapped))
    assert why_not_public(IPv6Address(0x64_FF9B << 96 | number)) == why_not_public(inside)


def spellings(address: IPv4Address) -> list[str]:
    """How ``inet_aton`` would accept ``address``, beside its four decimal parts."""
    number, parts = int(address), address.packed
    first, rest = parts[0], number & 0xFF_FFFF
    return [
        str(number),
        hex(number),
        f"0{number:o}",
        f"{first}.{rest}",
        f"{hex(first)}.{rest}",
        f"{first}.{parts[1]}.{number & 0xFFFF}",
        ".".join(map(hex, parts)),
        ".".join(f"0{part:o}" for part in parts),
        ".".join(f"{part:04d}" for part in parts),
        f"{first}.{parts[1]}.{parts[2]}.{hex(parts[3])}",
    ]


@given(IPV4)
def test_odd_spellings_of_numbers_are_refused(address: IPv4Address) -> None:
    """What the C library takes for an address is not taken for a name, whatever address it is."""
    for spelling in spellings(address):
        for suffix in ("", ".", ":80"):
            with pytest.raises(UrlRefusedError):
                parse_url(f"http://{spelling}{suffix}/")


@given(IPV4 | IPV6)
def test_addresses_in_urls_are_judged(address: IPv4Address | IPv6Address) -> None:
    """The guard lets a URL with an address pass exactly if the address is public."""
    shown = f"[{address}]" if address.version == 6 else str(address)
    if why_not_public(address) is None:
        assert GUARD.check(f"http://{shown}/").address == address
    else:
        with pytest.raises(UrlRefusedError, match="not public"):
            GUARD.check(f"http://{shown}/")
        assert OutboundGuard(OutboundSettings(allowed_networks=str(address))).check(f"http://{shown}/")


@given(ODD.map(lambda text: "http://" + text) | ODD | st.text(max_size=200))
@example("http://a%ff/")
@example("http://xn--a.example/")
@example("http://xn--/")
def test_reading_is_total_and_agrees(text: str) -> None:
    """Any text is refused or read; what was read is read again as itself, and another reader sees the same host."""
    try:
        url = parse_url(text)
    except UrlRefusedError:
        return
    assert parse_url(str(url)) == url
    assert str(url).isascii()
    assert not set(str(url)) & set(" \r\n\t\\")
    other = urlsplit(str(url))
    assert (other.scheme, other.hostname, other.username) == (url.scheme, url.host, None)
    assert (other.port or {"http": 80, "https": 443}[url.scheme]) == url.port


@given(ODD | st.text(max_size=100), st.sampled_from(["http://example.com/a/b?c", "https://[2606:4700::1]/"]))
def test_redirects_are_read_or_refused(location: str, base: str) -> None:
    """Whatever a server sends as ``Location`` is a URL after all or a refusal, never another failure."""
    try:
        url = join_url(parse_url(base), location)
    except UrlRefusedError:
        return
    assert parse_url(str(url)) == url
