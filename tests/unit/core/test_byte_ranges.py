from __future__ import annotations

from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.byte_ranges import MAX_PARTS, multipart, parse_range


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        (b"bytes=0-0", ((0, 0),)),
        (b"bytes=5-", ((5, 99),)),
        (b"bytes=-1", ((99, 99),)),
        (b"bytes=-1000", ((0, 99),)),
        (b"bytes=90-1000", ((90, 99),)),
        (b"BYTES=0-4", ((0, 4),)),
        (b"bytes=0-4 , ,\t-5", ((0, 4), (95, 99))),
        (b"bytes=-5,0-4", ((95, 99), (0, 4))),
        (b"bytes=0-4,100-200", ((0, 4),)),
        (b"bytes=100-", ()),
        (b"bytes=100-200,300-", ()),
        (b"bytes=-0", ()),
        (None, None),
        (b"", None),
        (b"bytes=", None),
        (b"bytes=,", None),
        (b"bytes", None),
        (b"items=0-4", None),
        (b"bytes=4-0", None),
        (b"bytes=0-4,9-8", None),
        (b"bytes=a-b", None),
        (b"bytes=0x0-4", None),
        (b"bytes= 0 - 4", None),
        (b"bytes=--5", None),
        (b"bytes=+1-4", None),
        (b"bytes=0-5,5-9", None),
        (b"bytes=0-,0-,0-", None),
        (b"bytes=" + b"9" * 30 + b"-", None),
        (b"bytes=" + b",".join(b"%d-%d" % (n * 2, n * 2) for n in range(MAX_PARTS + 1)), None),
    ],
)
def test_what_is_asked_for(value: bytes | None, spans: object) -> None:
    """RFC 9110 14.1.2: spans of what is there; none of them there is 416; what is invalid, overlaps or is too much is
    answered with the whole."""
    assert parse_range(value, 100) == spans


def test_nothing_has_no_part() -> None:
    """Of an empty body every range is unsatisfiable."""
    assert parse_range(b"bytes=0-", 0) == parse_range(b"bytes=-1", 0) == ()


@given(st.binary(max_size=60), st.integers(0, 50))
def test_spans_lie_inside(value: bytes, length: int) -> None:
    """Whatever is sent, what comes out are bytes that exist, none of them twice."""
    for field in (value, b"bytes=" + value):
        spans = parse_range(field, length) or ()
        taken = [position for first, last in spans for position in range(first, last + 1)]
        assert all(0 <= position < length for position in taken)
        assert len(set(taken)) == len(taken)


def test_parts_are_read_by_a_mail_parser() -> None:
    """Each has its place and the type of the whole; the boundary's line ends belong to no part."""
    body = bytes(range(256))
    sent = multipart(((0, 9), (250, 255)), body, b"image/png", b"b0undary")
    head = b"Content-Type: multipart/byteranges; boundary=b0undary\r\n\r\n"
    parts = message_from_bytes(head + sent).get_payload()
    assert [part["content-range"] for part in parts] == ["bytes 0-9/256", "bytes 250-255/256"]
    assert {part.get_content_type() for part in parts} == {"image/png"}
    first = sent.split(b"\r\n\r\n", 1)[1].split(b"\r\n--b0undary", 1)[0]
    assert first == body[:10]
