"""Which addresses are of the public Internet, and why the others are not. Pure.

An address counts as public if it may be anybody's on the Internet. Whatever reaches this machine, its own network, its
provider's or nobody does not, and neither does an address that carries another one inside it, because the system's
translators and tunnels would take it there. The one exception is the well-known prefix of NAT64, behind which the whole
of IPv4 lies for networks without it: there the address inside is judged.

The tables are written out rather than asked of ``ipaddress``, whose answers changed between releases of Python.

**Source:** the IANA registries of special-purpose IPv4 and IPv6 addresses (RFC 6890, updated by RFC 8190); RFC 4291
sections 2.4, 2.5.5 and 2.7; RFC 6052 (NAT64), RFC 8215, RFC 3056 (6to4), RFC 4380 (Teredo), RFC 2765 (SIIT); RFC 6598
(shared address space); RFC 9637 (documentation); the provider's pages for the addresses of metadata services.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["Address", "Network", "parse_networks", "why_not_public"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV4 = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared between a provider's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud provider's own"),  # public by its number, but the host's own agent answers there
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_IPV6 = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "an address inside another"),
        ("::ffff:0:0/96", "an address inside another"),
        ("::ffff:0:0:0/96", "an address inside another"),
        ("64:ff9b:1::/48", "an address inside another"),
        ("2001::/32", "an address inside another"),
        ("2002::/16", "an address inside another"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def why_not_public(address: Address) -> str | None:
    """What ``address`` is instead of public; None for a public one.

    >>> from ipaddress import ip_address
    >>> why_not_public(ip_address("169.254.169.254")), why_not_public(ip_address("8.8.8.8"))
    ('link-local', None)
    >>> why_not_public(ip_address("64:ff9b::7f00:1")), why_not_public(ip_address("64:ff9b::808:808"))
    ('loopback', None)
    """
    if isinstance(address, IPv4Address):
        return next((why for network, why in _IPV4 if address in network), None)
    if address in _NAT64:
        return why_not_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    for network, why in _IPV6:
        if address in network:
            return why
    return None if address in _GLOBAL_UNICAST else "reserved"


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks and single addresses, separated by commas.

    Raises:
        ValueError: one of them is neither.

    >>> parse_networks("10.2.0.0/16, ::1")
    (IPv4Network('10.2.0.0/16'), IPv6Network('::1/128'))
    """
    words = filter(None, map(str.strip, text.split(",")))
    return tuple(IPv6Network(word) if ":" in word else IPv4Network(word) for word in words)
