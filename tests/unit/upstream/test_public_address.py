"""Which addresses a stranger's URL may lead to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from tailrace.upstream.public_address import parse_networks, why_not_public

SPECIAL = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]


@pytest.mark.parametrize("network", SPECIAL)
def test_special_networks_are_not_public(network: str) -> None:
    """Each of them from its first to its last address, as the registries have them."""
    first, last = ip_network(network)[0], ip_network(network)[-1]
    assert why_not_public(first)
    assert why_not_public(last)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "64:ff9b::8.8.8.8",
    ],
)
def test_their_neighbours_are_public(address: str) -> None:
    """What lies one step beside a special network is as good as any other address."""
    assert why_not_public(ip_address(address)) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2001:0:a9fe:a9fe::",
        "::a9fe:a9fe",
    ],
)
def test_metadata_services_are_out_of_reach(address: str) -> None:
    """Where clouds hand out credentials, by every address and in every wrapping."""
    assert why_not_public(ip_address(address))


def test_networks_are_read_strictly() -> None:
    """A network with bits beyond its mask is a mistake, not a guess."""
    assert [str(network) for network in parse_networks(" 10.2.0.0/16,::1 , ")] == ["10.2.0.0/16", "::1/128"]
    for text in ("10.2.0.1/16", "localhost", "10.0.0.0/8 ::1"):
        with pytest.raises(ValueError):
            parse_networks(text)
