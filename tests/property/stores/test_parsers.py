"""What is read from a store, a header or the environment: any bytes and any text, and never a crash."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tailrace.cache.entry import HEADER, VERSION, Entry, decode, encode
from tailrace.cache.write_token import WriteTokens
from tailrace.core.freshness import STAMP_BYTES
from tailrace.errors import SettingsError
from tailrace.stores.address import Address, parse_address
from tailrace.testing.clock import FakeClock

moments = st.floats(0, 1e10)
seconds = st.floats(0, 1e9, width=32)


@given(st.binary(max_size=STAMP_BYTES * 3), moments, seconds, seconds, st.binary(max_size=50))
def test_an_entry_comes_back(stamps: bytes, created_at: float, ttl: float, cost: float, value: bytes) -> None:
    """What was stored is read as it was."""
    whole = stamps[: len(stamps) // STAMP_BYTES * STAMP_BYTES]
    entry = Entry(whole, created_at, ttl, cost, value)
    assert decode(encode(entry)) == entry


@given(st.binary(max_size=80), st.integers(0, 5), st.floats(), st.floats(width=32), st.floats(width=32))
def test_damaged_entries_are_misses(data: bytes, count: int, created_at: float, ttl: float, cost: float) -> None:
    """Whatever lies in the store, it is no entry, or one whose times are numbers that can be reckoned with."""
    for stored in (data, HEADER.pack(VERSION, count, created_at, ttl, cost) + data):
        entry = decode(stored)
        if entry is not None:
            assert math.isfinite(entry.created_at)
            assert math.isfinite(entry.ttl)
            assert math.isfinite(entry.cost)
            assert len(entry.stamps) % STAMP_BYTES == 0
            assert stored.endswith(entry.value)


@given(st.text(max_size=60), st.data())
def test_only_whole_tokens_count(text: str, data: st.DataObject) -> None:
    """No text but a token counts as one, and no token with a character changed."""
    tokens = WriteTokens(b"secret", 10.0, FakeClock(), "life")
    assert tokens.read(text) == "none"
    token = tokens.issue()
    assert tokens.read(token) == "fence"
    place = data.draw(st.integers(0, len(token) - 2))  # the last has bits that say nothing
    other = data.draw(st.characters(exclude_characters=f"{token[place]}+/"))  # which some write for - and _
    assert tokens.read(token[:place] + other + token[place + 1 :]) == "none"


@given(st.one_of(st.text(max_size=60), st.from_regex(r"(redis|valkeys|unix)://[^ ]{0,40}", fullmatch=True)))
def test_an_address_is_read_or_refused(url: str) -> None:
    """Whatever the environment says, it is an address or a mistake that is told."""
    try:
        address = parse_address(url)
    except SettingsError:
        return
    assert isinstance(address, Address)
    assert 0 < address.port < 65536
