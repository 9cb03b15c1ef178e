from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.http_date import format_http_date, parse_http_date

MOMENT = 784111777
NOW = 1_800_000_000  # January 2027


@pytest.mark.parametrize(
    "text",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b" Sun, 06 Nov 1994 08:49:37 GMT\t",
        b"SUN, 06 nov 1994 08:49:37 gmt",
    ],
)
def test_the_three_forms(text: bytes) -> None:
    """RFC 9110 5.6.7: a recipient accepts all three; blanks around and case do not matter."""
    assert parse_http_date(text, NOW) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"",
        b"0",
        b"-1",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06  Nov  1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08.49.37 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1995 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:00 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 0٦ Nov 1994 08:49:37 GMT".encode(),
        b"Sun, " + b"0" * 100_000,
    ],
)
def test_what_is_no_date(text: bytes | None) -> None:
    """Nothing is guessed: a date that may mean something else means nothing."""
    assert parse_http_date(text, NOW) is None


def test_a_leap_second() -> None:
    """Second 60 is the first of the next minute."""
    assert parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW) == parse_http_date(
        b"Sun, 01 Jan 2017 00:00:00 GMT", NOW
    )


@pytest.mark.parametrize(("short", "year"), [(b"26", 2026), (b"76", 2076), (b"77", 2077), (b"78", 1978), (b"99", 1999)])
def test_years_of_two_digits(short: bytes, year: int) -> None:
    """More than 50 years ahead is taken for the century before."""
    found = parse_http_date(b"Monday, 01-Jan-" + short + b" 00:00:00 GMT", NOW)
    assert found is not None
    assert time.gmtime(found).tm_year == year


@given(st.integers(0, 4_102_444_800))
def test_what_is_written_is_read(moment: int) -> None:
    """Whole seconds come back, and the standard library writes the same."""
    text = format_http_date(moment)
    assert text.decode() == formatdate(moment, usegmt=True)
    assert parse_http_date(text, NOW) == moment


@given(st.binary(max_size=60))
def test_any_bytes(text: bytes) -> None:
    """Never an exception."""
    parse_http_date(text, NOW)
