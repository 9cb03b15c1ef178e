from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.cache_control import MAX_DELTA, CacheControl, parse_cache_control


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=60", CacheControl(max_age=60)),
        (b"Max-Age=60, PUBLIC", CacheControl(max_age=60, public=True)),
        (b'max-age="60"', CacheControl(max_age=60)),
        (b"no-store,,  , private", CacheControl(no_store=True, private=True)),
        (b'private="Set-Cookie, X-A"', CacheControl(private=True, private_fields=frozenset({"set-cookie", "x-a"}))),
        (b'no-cache="set-cookie", no-cache', CacheControl(no_cache=True)),
        (b'community="UCI, max-age=5", s-maxage=9', CacheControl(s_maxage=9)),
        (b"max-stale", CacheControl(max_stale=-1)),
        (b"max-stale=10, max-stale", CacheControl(max_stale=10)),
        (b"stale-while-revalidate=30, stale-if-error=60", CacheControl(stale_while_revalidate=30, stale_if_error=60)),
        (b"", CacheControl()),
        (None, CacheControl()),
    ],
)
def test_directives(value: bytes | None, expected: CacheControl) -> None:
    """RFC 9111 5.2: names without regard to case, token and quoted arguments, unknown directives ignored."""
    assert parse_cache_control(value) == expected


@pytest.mark.parametrize("value", [b"abc", b"-1", b"1.5", b"", b" 10", b"10\x00", b"0x10", "١٠".encode()])
def test_bad_times_are_stale(value: bytes) -> None:
    """RFC 9111 4.2.1: invalid freshness information counts as stale, so nothing lives on a misreading."""
    assert parse_cache_control(b"max-age=" + value).max_age == 0


def test_duplicates_take_the_shortest() -> None:
    """RFC 9111 4.2.1: of conflicting values the most restrictive is used, over one line or several."""
    assert parse_cache_control(b"max-age=60, max-age=10").max_age == 10
    assert parse_cache_control([b"max-age=10", b"max-age=60"]).max_age == 10


def test_overflow_is_clamped() -> None:
    """RFC 9111 1.2.2: a number too large to hold counts as 2**31."""
    assert parse_cache_control(b"max-age=99999999999999999999").max_age == MAX_DELTA


def test_shared_lifetime_prefers_s_maxage() -> None:
    """RFC 9111 5.2.2.10: s-maxage overrides max-age in a shared cache and forbids stale responses."""
    control = parse_cache_control(b"max-age=10, s-maxage=5")
    assert control.shared_lifetime == 5
    assert control.forbids_stale


@pytest.mark.parametrize(
    ("value", "for_all"),
    [(b"public", True), (b"s-maxage=0", True), (b"max-age=60, must-revalidate", False), (b"private", False)],
)
def test_what_is_for_all_says_so(value: bytes, for_all: bool) -> None:
    """RFC 9111 3.5: a lifetime alone does not make an answer to somebody one for everybody."""
    assert parse_cache_control(value).for_all is for_all


def test_a_huge_field_stores_nothing() -> None:
    """A field longer than anyone means honestly is not looked through."""
    assert parse_cache_control(b"a," * 10_000).no_store


@given(st.binary(max_size=200))
def test_no_bytes_crash(value: bytes) -> None:
    """Whatever is sent, there is an answer, and writing it gives a value that reads the same."""
    control = parse_cache_control(value)
    assert parse_cache_control(str(control).encode("latin-1")) == control
