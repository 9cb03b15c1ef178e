"""Whose address counts: what trusted proxies wrote, and nothing that a client did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.asgi import ClientAddresses

TRUSTED = "10.0.0.0/8, 192.0.2.1, 2001:db8:ffff::/48"
CLIENT = "203.0.113.9"


def address(peer: str | None, value: str | None = None, *, trusted: str = TRUSTED, forwarded: bool = False) -> str:
    field = "forwarded" if forwarded else "x-forwarded-for"
    addresses = ClientAddresses(trusted, "forwarded" if forwarded else "x-forwarded-for")
    headers = {} if value is None else {field.encode(): value.encode("latin-1")}
    return addresses.of({"client": None if peer is None else (peer, 4711)}, headers)


def test_without_trusted_proxies_nobody_is_believed() -> None:
    """The address of the connection counts, whatever the client claims."""
    assert address(CLIENT, "198.51.100.1", trusted="") == CLIENT


def test_a_client_that_claims_to_be_forwarded_is_not_believed() -> None:
    """Only the word of a trusted proxy counts, not the field itself."""
    assert address(CLIENT, "198.51.100.1") == CLIENT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CLIENT, CLIENT),
        (f"198.51.100.1, {CLIENT}", CLIENT),
        (f"198.51.100.1, {CLIENT}, 10.1.1.1", CLIENT),
        (f"10.9.9.9, {CLIENT}, 10.1.1.1, 192.0.2.1", CLIENT),
        (f"{CLIENT}:5678", CLIENT),
        ("[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        (f"::ffff:{CLIENT}", CLIENT),
        ("10.1.1.1", "10.1.1.1"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        (f"{CLIENT}, garbage", "10.0.0.1"),
        (f"{CLIENT}, garbage, 10.1.1.1", "10.1.1.1"),
    ],
)
def test_the_list_is_read_from_the_right(value: str, expected: str) -> None:
    """As far as trusted proxies wrote it; what is no address ends at the last one that is known."""
    assert address("10.0.0.1", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"for={CLIENT}", CLIENT),
        (f'for="{CLIENT}:80";proto=https;by=10.0.0.1', CLIENT),
        (f"for=198.51.100.1, For={CLIENT};host=example.org, for=10.2.2.2", CLIENT),
        ('for="[2001:db8:1:2::7]:4711"', "2001:db8:1:2::/64"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        (f'for="198.51.100.1, for={CLIENT}', CLIENT),
        (f'for=198.51.100.1;by="\\", for={CLIENT}', CLIENT),
    ],
)
def test_forwarded_is_read_as_well(value: str, expected: str) -> None:
    """RFC 7239, also behind a quote that a client has left open to swallow what the proxy adds."""
    assert address("10.0.0.1", value, forwarded=True) == expected


def test_the_field_that_the_proxies_do_not_keep_is_ignored() -> None:
    """It passes through them as the client sent it."""
    addresses = ClientAddresses(TRUSTED)
    headers = {b"forwarded": b"for=198.51.100.1", b"x-forwarded-for": CLIENT.encode()}
    assert addresses.of({"client": ("10.0.0.1", 1)}, headers) == CLIENT
    assert ClientAddresses(TRUSTED, "forwarded").of({"client": ("10.0.0.1", 1)}, headers) == "198.51.100.1"


def test_a_unix_socket_is_trusted_when_it_is_said_to_be() -> None:
    """There the server knows no address of its own."""
    assert address(None, CLIENT) == "unknown"
    assert address(None, CLIENT, trusted="unix") == CLIENT
    assert address(None, None, trusted="unix") == "unknown"


def test_an_endless_field_is_read_from_its_end_only() -> None:
    """A client may send what it likes before what the proxies add."""
    assert address("10.0.0.1", "198.51.100.1," * 100_000 + CLIENT) == CLIENT
    assert address("10.0.0.1", "x" * 1_000_000 + f", {CLIENT}") == CLIENT
    assert address("10.0.0.1", "10.0.0.2," * 100_000) == "10.0.0.1"


def test_addresses_of_one_customer_are_one() -> None:
    """A whole /64 is one caller; the next one is another."""
    one, same, other = "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"
    assert address(one) == address(same) == "2001:db8:1:2::/64"
    assert address(other) != address(one)
    assert address("fe80::1%eth0") == "fe80::/64"


@pytest.mark.parametrize("trusted", ["10.0.0.0/33", "nonsense", "10.0.0.1/8", "::1, x"])
def test_networks_that_cannot_be_read_are_refused(trusted: str) -> None:
    """A mistake there would trust nobody, or everybody."""
    with pytest.raises(ValueError):
        ClientAddresses(trusted)


@given(st.binary(max_size=60), st.booleans())
def test_a_client_cannot_choose_its_address(claimed: bytes, forwarded: bool) -> None:
    """Whatever it sends, behind a proxy that adds what it sees, the address is the one that the proxy saw."""
    field = b"forwarded" if forwarded else b"x-forwarded-for"
    added = f"for={CLIENT}" if forwarded else CLIENT
    addresses = ClientAddresses(TRUSTED, "forwarded" if forwarded else "x-forwarded-for")
    headers = {field: claimed + b", " + added.encode()}
    assert addresses.of({"client": ("10.0.0.1", 1)}, headers) == CLIENT


def test_what_is_remembered_is_bounded() -> None:
    """However many addresses a proxy reports."""
    addresses = ClientAddresses(TRUSTED)
    for number in range(20_000):
        value = f"203.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert addresses.of({"client": ("10.0.0.1", 1)}, {b"x-forwarded-for": value.encode()}) == value
    assert len(addresses._known) <= 8192
