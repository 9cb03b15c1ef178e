"""Parts of a response: stored, used, grown together (RFC 9111 sections 3.3 and 3.4, RFC 9110 section 14)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.asgi.http_cache.origin import Response, Site

TAG = '"v1"'


def part(first: int, last: int, total: int = 10, *, body: bytes | None = None, **fields: str | float) -> Response:
    """A 206 of ``0123456789``."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    headers = {"cache-control": "max-age=60", "content-range": f"bytes {first}-{last}/{total}", **named}
    return Response(headers, status=206, body=b"0123456789"[first : last + 1] if body is None else body)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("bytes=2-6", (b"23456", b"bytes 2-6/10")),
        ("bytes=3-4", (b"34", b"bytes 3-4/10")),
        ("BYTES=6-6", (b"6", b"bytes 6-6/10")),
        ("bytes=1-4", None),
        ("bytes=5-7", None),
        ("bytes=5-", None),
        ("bytes=-2", None),
        ("bytes=2-3,5-6", None),
        ("bytes=20-", None),
        ("items=2-3", None),
        ("nonsense", None),
        (None, None),
    ],
)
async def test_what_a_part_answers(asked: str | None, found: tuple[bytes, bytes] | None) -> None:
    """3.3: a range that lies wholly within it, and nothing else."""
    site = Site(part(2, 6, etag=TAG), Response({}, body=b"other"))
    assert (await site.get(range="bytes=2-6")).body == b"23456"
    reply = await site.get(**({} if asked is None else {"range": asked}))
    if found is None:
        assert (reply.body, site.asked) == (b"other", 2)
        assert site.requests[1].get(b"range") == (None if asked is None else asked.encode())
    else:
        assert (reply.status, reply.body, reply.headers[b"content-range"], site.asked) == (206, *found, 1)
        assert reply.headers[b"content-length"] == b"%d" % len(reply.body)


async def test_the_end_of_a_part() -> None:
    """A range without an end, and the last bytes, where the part has the end."""
    site = Site(part(5, 9))
    await site.get(range="bytes=5-")
    assert [(await site.get(range=asked)).body for asked in ("bytes=6-", "bytes=-2", "bytes=-5", "bytes=7-90")] == [
        *(b"6789", b"89", b"56789", b"789")
    ]
    assert site.asked == 1


@pytest.mark.parametrize(
    "response",
    [
        part(0, 4, etag=TAG, body=b"0123"),
        part(0, 4, etag=TAG, content_range="bytes 0-4/*"),
        part(0, 4, etag=TAG, content_range="bytes 4-0/10"),
        part(0, 4, etag=TAG, content_range="bytes 0-4/5, bytes 0-4/5"),
        part(0, 4, etag=TAG, content_range="bytes 6-10/10"),
        part(0, 4, etag=TAG, content_range="items 0-4/10"),
        part(0, 4, etag=TAG, content_range=""),
        part(0, 4, etag=TAG, content_type="multipart/byteranges; boundary=x"),
        part(0, 4, etag=TAG, cache_control="no-store"),
        part(0, 4, etag=TAG, cache_control="private, max-age=60"),
        part(0, 4, etag=TAG, content_length="9"),
        Response({"cache-control": "max-age=60", "content-range": "bytes */10"}, status=416, body=b""),
        Response({"cache-control": "max-age=60", "content-range": "bytes */10"}, status=412, body=b""),
    ],
)
async def test_what_is_no_part_to_rely_on(response: Response) -> None:
    """Passed on as it is, and not kept; what answers one request's range or conditions answers no other."""
    site = Site(response, Response({}, body=b"next"))
    first = await site.get(range="bytes=0-4")
    assert (first.status, first.body) == (response.status, response.body)
    for fields in ({"range": "bytes=0-4"}, {}):
        assert (await site.get(**fields)).body == b"next"


async def test_a_206_that_nobody_asked_for() -> None:
    """Passed on, not kept."""
    site = Site(part(0, 4, etag=TAG), Response({}, body=b"next"))
    assert (await site.get()).status == 206
    assert (await site.get(range="bytes=0-4")).body == b"next"


@pytest.mark.parametrize(
    ("runs", "together"),
    [
        ([(0, 3), (4, 6)], (0, 6)),
        ([(4, 6), (0, 3)], (0, 6)),
        ([(0, 5), (3, 8)], (0, 8)),
        ([(3, 8), (0, 5)], (0, 8)),
        ([(0, 3), (7, 9), (5, 6)], (5, 9)),
        ([(0, 3), (4, 6), (7, 9)], None),
        ([(5, 9), (0, 6)], None),
    ],
)
async def test_parts_grow_together(runs: list[tuple[int, int]], together: tuple[int, int] | None) -> None:
    """3.4: runs of the same representation that touch are one, and all of them the whole, for everybody."""
    site = Site(*[part(*run, etag=TAG) for run in runs], Response({}, body=b"next"))
    for first, last in runs:
        await site.get(range=f"bytes={first}-{last}")
    asked = site.asked
    assert asked == len(runs)
    if together is None:
        reply = await site.get()
        assert (reply.status, reply.body, reply.headers[b"content-length"]) == (200, b"0123456789", b"10")
        assert b"content-range" not in reply.headers
    else:
        first, last = together
        assert (await site.get(range=f"bytes={first}-{last}")).body == b"0123456789"[first : last + 1]
        assert site.asked == asked
        assert (await site.get()).body == b"next"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"etag": '"a"'}, {"etag": '"b"'}),
        ({"etag": 'W/"a"'}, {"etag": 'W/"a"'}),
        ({}, {}),
        ({"etag": '"a"'}, {}),
        ({"last_modified": 0.0, "date": 0.0}, {"last_modified": 0.0, "date": 0.0}),
        ({"last_modified": -60.0, "date": 0.0}, {"last_modified": -50.0, "date": 0.0}),
        ({"etag": '"a"', "total": 10}, {"etag": '"a"', "total": 11}),
    ],
)
async def test_what_does_not_belong_together(one: dict[str, Any], other: dict[str, Any]) -> None:
    """RFC 9110 15.3.7.3: without the same strong validator, or with another length, the newer part stands alone."""
    site = Site(part(0, 4, **one), part(5, 9, **other), part(0, 4, **other), Response({}, body=b"next"))
    await site.get(range="bytes=0-4")
    await site.get(range="bytes=5-9")
    assert (await site.get(range="bytes=5-9")).body == b"56789"
    assert site.asked == 2
    await site.get(range="bytes=0-4")
    assert site.asked == 3


async def test_parts_of_the_same_date_belong_together() -> None:
    """RFC 9110 8.8.2.2: a Last-Modified that lies well before its Date is strong."""
    site = Site(part(0, 4, last_modified=-60.0, date=0.0), part(5, 9, last_modified=-60.0, date=0.0))
    await site.get(range="bytes=0-4")
    await site.get(range="bytes=5-9")
    assert (await site.get()).body == b"0123456789"
    assert site.asked == 2


async def test_fields_of_the_newer_part_count() -> None:
    """3.4: they replace those that are held, but for what describes the content."""
    site = Site(part(0, 4, etag=TAG, x_a="1", x_b="1"), part(5, 9, etag=TAG, x_a="2", cache_control="max-age=600"))
    await site.get(range="bytes=0-4")
    await site.later(50)
    await site.get(range="bytes=5-9")
    await site.later(300)
    reply = await site.get()
    assert (reply.headers[b"x-a"], reply.headers[b"x-b"], reply.headers[b"age"]) == (b"2", b"1", b"300")


async def test_a_part_is_validated() -> None:
    """4.3: a stale part is asked about with its range, and served again once it is confirmed."""
    site = Site(part(0, 4, etag=TAG), Response({"etag": TAG, "cache-control": "max-age=60"}, status=304))
    await site.get(range="bytes=0-4")
    await site.later(61)
    reply = await site.get(range="bytes=1-2")
    assert (reply.status, reply.body) == (206, b"12")
    assert (site.requests[1][b"if-none-match"], site.requests[1][b"range"]) == (TAG.encode(), b"bytes=1-2")
    assert (await site.get(range="bytes=3-4")).body == b"34"
    assert site.asked == 2


async def test_a_part_that_has_changed() -> None:
    """What comes in place of a confirmation is passed on, and replaces it."""
    site = Site(part(0, 4, etag=TAG), part(0, 4, etag='"v2"', body=b"abcde"))
    await site.get(range="bytes=0-4")
    await site.later(61)
    assert (await site.get(range="bytes=0-4")).body == b"abcde"
    assert (await site.get(range="bytes=1-1")).body == b"b"
    assert site.asked == 2


@pytest.mark.parametrize(("wanted", "found"), [(TAG, b"12"), ('"other"', b"next"), (f"W/{TAG}", b"next")])
async def test_if_range(wanted: str, found: bytes) -> None:
    """RFC 9110 13.1.5: where the condition fails, the whole is wanted, which the part is not."""
    site = Site(part(0, 4, etag=TAG), Response({}, body=b"next"))
    await site.get(range="bytes=0-4")
    assert (await site.get(range="bytes=1-2", if_range=wanted)).body == found


async def test_a_part_is_no_answer_to_head() -> None:
    """RFC 9110 14.2: a range means nothing there; and a HEAD tells nothing about a part."""
    site = Site(part(0, 4, etag=TAG), Response({"cache-control": "max-age=60", "content-length": "10"}))
    await site.get(range="bytes=0-4")
    assert (await site.get(method="HEAD", range="bytes=0-4")).status == 200
    assert (await site.get(range="bytes=0-4")).body == b"01234"
    assert site.asked == 2


async def test_a_write_ends_parts() -> None:
    """4.4."""
    site = Site(part(0, 4, etag=TAG), Response({}, status=204), Response({}, body=b"next"))
    await site.get(range="bytes=0-4")
    await site.get(method="POST")
    assert (await site.get(range="bytes=0-4")).body == b"next"


async def test_parts_that_are_too_much_together() -> None:
    """The bound on bodies holds for what has grown."""
    site = Site(part(0, 4, etag=TAG), part(5, 9, etag=TAG), max_body=8)
    await site.get(range="bytes=0-4")
    await site.get(range="bytes=5-9")
    await site.get()
    assert site.asked == 3
