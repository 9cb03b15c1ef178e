"""Reading a store's address."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import SettingsError
from tailrace.stores.address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address()),
        ("valkey://cache:7000/3", Address("cache", 7000, 3)),
        ("redis://:p%40ss@h", Address("h", password="p@ss")),
        ("redis://me:p%3Aw@h:1/0", Address("h", 1, 0, "me", "p:w")),
        ("rediss://h", Address("h", tls=True)),
        ("valkeys://h", Address("h", tls=True)),
        ("redis://[::1]:7000/1", Address("::1", 7000, 1)),
        ("redis://h/0?db=4", Address("h", database=4)),
        ("unix:///run/valkey.sock", Address(path="/run/valkey.sock")),
        (
            "unix://me:pw@/run/valkey.sock?db=2",
            Address(path="/run/valkey.sock", database=2, username="me", password="pw"),
        ),
    ],
)
def test_addresses_in_use_are_understood(url: str, address: Address) -> None:
    """Scheme, host, port, database, user, password and socket are read as the schemes define them."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:hush@h",
        "redis://:hush@h:port",
        "redis://:hush@h:99999",
        "redis://:hush@h/name",
        "redis://:hush@h/-1",
        "redis://:hush@h/²",
        "redis://:hush@h/0?timeout=1",
        "unix://:hush@",
        "redis://:hush@[h/0",
    ],
)
def test_a_wrong_address_is_refused_without_being_repeated(url: str) -> None:
    """What cannot be used is refused by a settings error in which no password stands."""
    with pytest.raises(SettingsError) as raised:
        parse_address(url)
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@given(st.text(alphabet="QXZJ:@/%", min_size=6))
def test_no_password_shows(password: str) -> None:
    """Neither `str` nor `repr` of an address contains its password, whatever signs it is made of."""
    address = parse_address(f"redis://user:{quote(password, safe='')}@host/1")
    assert address.password == password
    assert password not in str(address) + repr(address)
