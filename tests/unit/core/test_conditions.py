from __future__ import annotations

import pytest

from tailrace.core.conditions import Validators, holds_range, is_not_modified, validators_of
from tailrace.core.http_date import format_http_date

NOW = 1_800_000_000.0
MODIFIED = 1_700_000_000
DATE = format_http_date(MODIFIED)


def held(etag: bytes = b'"a"', modified: int | None = MODIFIED, date: int | None = MODIFIED + 60) -> Validators:
    return Validators(etag, modified, date)


@pytest.mark.parametrize(
    ("wanted", "etag", "same"),
    [
        (b'"a"', b'"a"', True),
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'"b"', b'"a"', False),
        (b'"b", "a"', b'"a"', True),
        (b' ,"b",, W/"a" , ', b'"a"', True),
        (b'"x,y"', b'"x,y"', True),
        (b'"x', b'"x', False),
        (b'"x,y"', b'"y"', False),
        (b"*", b'"a"', True),
        (b"*", b"", True),
        (b"a", b'"a"', False),
        (b'"a" "b"', b'"a"', False),
        (b'w/"a"', b'"a"', False),
        (b'""', b'""', True),
        (b'"a"', b"", False),
        (b'"a",' * 10_000, b'"a"', False),
    ],
)
def test_if_none_match(wanted: bytes, etag: bytes, same: bool) -> None:
    """RFC 9110 13.1.2 and 8.8.3.2: weak comparison with each member of a list, commas in tags being no commas of the
    list; what is no list of tags matches nothing."""
    assert is_not_modified({b"if-none-match": wanted}, held(etag), NOW) is same


def test_if_none_match_goes_first() -> None:
    """RFC 9110 13.1.3: with it, If-Modified-Since is ignored."""
    assert not is_not_modified({b"if-none-match": b'"b"', b"if-modified-since": DATE}, held(), NOW)


@pytest.mark.parametrize(
    ("since", "expected"), [(MODIFIED, True), (MODIFIED + 1, True), (MODIFIED - 1, False), (None, False)]
)
def test_if_modified_since(since: int | None, expected: bool) -> None:
    """The representation has not changed since, or is not known to have; what is no date is ignored."""
    value = b"yesterday" if since is None else format_http_date(since)
    assert is_not_modified({b"if-modified-since": value}, held(), NOW) is expected


def test_without_last_modified_the_date_counts() -> None:
    """RFC 9111 4.3.2."""
    assert is_not_modified({b"if-modified-since": DATE}, held(modified=None, date=MODIFIED), NOW)
    assert not is_not_modified({b"if-modified-since": DATE}, held(modified=None, date=None), NOW)


@pytest.mark.parametrize(
    ("wanted", "validators", "expected"),
    [
        (None, held(), True),
        (b'"a"', held(), True),
        (b'"b"', held(), False),
        (b'W/"a"', held(b'W/"a"'), False),
        (b'"a"', held(b'W/"a"'), False),
        (DATE, held(), True),
        (DATE, held(date=MODIFIED), False),
        (DATE, held(date=None), False),
        (format_http_date(MODIFIED + 1), held(), False),
        (b"*", held(), False),
    ],
)
def test_if_range(wanted: bytes | None, validators: Validators, expected: bool) -> None:
    """RFC 9110 13.1.5: only a strong validator that is exactly the same says that the bytes are."""
    headers = {} if wanted is None else {b"if-range": wanted}
    assert holds_range(headers, validators, NOW) is expected


def test_validators_of_a_response() -> None:
    """A tag that is none, such as one without quotes, is no validator."""
    fields = {b"etag": b' "a" ', b"last-modified": DATE, b"date": b"x"}
    assert validators_of(fields, NOW) == Validators(b'"a"', MODIFIED, None)
    assert validators_of({b"etag": b"a"}, NOW).etag == b""
