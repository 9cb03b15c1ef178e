"""Asking whether what is stored still is right, and ending what is not: RFC 9111 sections 4.3 and 4.4, RFC 9875."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.asgi.http_cache.origin import Response, Site, ages
from tests.waiting import wait_until

from tailrace.asgi.http_cache.places import group_tag
from tailrace.errors import GatewayError, RequestError, UpstreamTimeoutError
from tailrace.stores import MemoryStore

STALE = {"cache-control": "max-age=1", "etag": '"a"'}
CONFIRMED = Response({"cache-control": "max-age=60", "etag": '"a"', "x-new": "yes"}, status=304)


async def test_a_304_makes_it_fresh() -> None:
    """4.3.3 and 4.3.4: the stored body with the fields of the 304, which the client does not see; then it is a hit."""
    site = Site({**STALE, "x-old": "1", "x-new": "no", "content-type": "text/a"}, CONFIRMED)
    await site.get()
    await site.later(10)
    second = await site.get()
    third = await site.get()
    assert site.requests[1][b"if-none-match"] == b'"a"'
    for reply in (second, third):
        assert (reply.status, reply.body) == (200, b"body 1")
        assert (reply.headers[b"x-new"], reply.headers[b"x-old"]) == (b"yes", b"1")
        assert reply.headers[b"content-type"] == b"text/a"
    assert site.asked == 2
    assert second.cache_status == b"tailrace; fwd=stale; fwd-status=304"
    assert ages(second, third) == [0, 0]


@pytest.mark.parametrize("field", ["content-length", "content-encoding", "content-type", "content-range"])
async def test_a_304_does_not_describe_the_body(field: str) -> None:
    """3.2: fields of the stored content stay."""
    site = Site({**STALE, "content-type": "a/b"}, Response({**CONFIRMED.headers, field: "7"}, status=304))
    await site.get()
    await site.later(10)
    reply = await site.get()
    assert reply.body == b"body 1"
    assert reply.headers.get(field.encode(), b"") in (b"", b"6", b"a/b")


async def test_a_200_replaces_it() -> None:
    """Another response to the validation is the client's, and the store's."""
    site = Site(STALE, {"cache-control": "max-age=60", "etag": '"b"'})
    await site.get()
    await site.later(10)
    assert [(await site.get()).body for _ in range(2)] == [b"body 2", b"body 2"]


async def test_a_304_about_something_else() -> None:
    """4.3.4: a tag that is not the stored one's confirms nothing; all of it is asked for."""
    site = Site(STALE, Response({"etag": '"z"'}, status=304), {"cache-control": "max-age=60"})
    await site.get()
    await site.later(10)
    reply = await site.get()
    assert (reply.status, reply.body) == (200, b"body 3")
    assert b"if-none-match" not in site.requests[2]


async def test_by_date() -> None:
    """Without a tag, by Last-Modified."""
    site = Site({"cache-control": "max-age=1", "last-modified": -1000.0}, Response({"cache-control": "max-age=9"}, 304))
    await site.get()
    await site.later(10)
    assert (await site.get()).body == b"body 1"
    assert b"if-modified-since" in site.requests[1]


async def test_no_cache_is_validated_each_time() -> None:
    """5.2.2.4: stored, and confirmed before each use."""
    site = Site({"cache-control": "no-cache", "etag": '"a"'}, Response({"etag": '"a"'}, status=304))
    bodies = [(await site.get()).body for _ in range(3)]
    assert bodies == [b"body 1"] * 3
    assert site.asked == 3


async def test_all_that_match_are_offered() -> None:
    """4.3.1: the tags of all stored responses; the one that is confirmed is served."""
    site = Site(
        {**STALE, "vary": "a"},
        {"cache-control": "max-age=1", "etag": '"b"', "vary": "b"},
        Response({"etag": '"a"', "cache-control": "max-age=60"}, status=304),
    )
    await site.get(a="1", b="1")
    await site.later(2)
    await site.get(a="2", b="1")
    await site.later(10)
    reply = await site.get(a="1", b="1")
    assert site.requests[2][b"if-none-match"] == b'"b", "a"'
    assert reply.body == b"body 1"


async def test_the_clients_own_condition_is_answered_here() -> None:
    """4.3.2: the origin is asked about what is stored, the client about what it has."""
    site = Site(STALE, CONFIRMED)
    await site.get()
    await site.later(10)
    assert (await site.get(if_none_match='"a"')).status == 304
    assert (await site.get(if_none_match='"b"')).status == 200
    assert site.requests[1][b"if-none-match"] == b'"a"'


async def test_with_nothing_stored_the_clients_condition_is_the_origins() -> None:
    """A 304 to it is the client's, and is not stored."""
    site = Site(Response({"etag": '"a"', "cache-control": "max-age=60"}, status=304), {"cache-control": "max-age=60"})
    assert (await site.get(if_none_match='"a"')).status == 304
    assert (await site.get()).body == b"body 2"


async def test_ranges_of_what_is_stored() -> None:
    """RFC 9110 14: parts of a stored body."""
    site = Site({"cache-control": "max-age=60"})
    await site.get()
    reply = await site.get(range="bytes=0-3")
    assert (reply.status, reply.body, reply.headers[b"content-range"]) == (206, b"body", b"bytes 0-3/6")


@pytest.mark.parametrize(
    ("fields", "still"),
    [
        ({"etag": '"a"', "cache-control": "max-age=100"}, True),
        ({"etag": '"b"'}, False),
        ({"content-length": "7"}, False),
        ({"content-length": "6", "etag": '"a"'}, True),
    ],
)
async def test_a_head_tells_of_the_get(fields: dict[str, str | float], still: bool) -> None:
    """4.3.5: one that agrees refreshes it, one that does not makes it stale."""
    site = Site(
        {"cache-control": "max-age=100", "etag": '"a"'}, Response(fields), Response({"etag": '"a"'}, status=304)
    )
    await site.get()
    await site.get(method="HEAD", cache_control="no-cache")
    assert site.methods == ["GET", "HEAD"]
    await site.get()
    assert site.asked == (2 if still else 3)


@pytest.mark.parametrize(
    ("method", "status", "ended"),
    [
        ("POST", 200, True),
        ("PUT", 204, True),
        ("DELETE", 303, True),
        ("M-SEARCH", 200, True),
        ("POST", 400, False),
        ("POST", 500, False),
        ("OPTIONS", 200, False),
        ("TRACE", 200, False),
    ],
)
async def test_unsafe_methods_end_what_is_stored(method: str, status: int, ended: bool) -> None:
    """4.4: on success only, and only those that are not safe."""
    site = Site({"cache-control": "max-age=60"}, Response(status=status), {"cache-control": "max-age=60"})
    await site.get()
    await site.get(method=method)
    assert (await site.get()).body == (b"body 3" if ended else b"body 1")


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (GatewayError("it broke off"), True),
        (UpstreamTimeoutError("it does not go on"), True),
        (OSError(), True),
        (asyncio.CancelledError(), True),
        (RequestError("not so", code="refused"), False),
    ],
)
async def test_a_write_that_was_not_answered(error: BaseException, ended: bool) -> None:
    """It may have been done, unless it was refused."""
    fresh = {"cache-control": "max-age=60"}
    site = Site(fresh, Response(error=error), fresh)
    await site.get()
    with pytest.raises(type(error)):
        await site.get(method="DELETE")
    assert (await site.get()).body == (b"body 3" if ended else b"body 1")


@pytest.mark.parametrize("field", ["location", "content-location"])
@pytest.mark.parametrize(
    ("value", "ended"),
    [
        ("/other", True),
        ("other", True),
        ("http://testserver/other#part", True),
        ("http://elsewhere/other", False),
        ("https://testserver/other", False),
        ("http://[bad", False),
    ],
)
async def test_what_a_write_names(field: str, value: str, ended: bool) -> None:
    """4.4: the same origin's only, so that nobody can empty another's cache."""
    site = Site({"cache-control": "max-age=60"}, Response({field: value}, status=201), {"cache-control": "max-age=60"})
    await site.get("/other")
    await site.get("/", method="POST")
    assert (await site.get("/other")).body == (b"body 3" if ended else b"body 1")


async def test_a_response_on_its_way_does_not_outlive_a_write() -> None:
    """What was asked for before a write and arrives behind it is the client's, and is not served to anyone else, also
    where the write went through another process."""
    store = MemoryStore()
    one, two = (Site({"cache-control": "max-age=60"}, store=store) for _ in range(2))
    gate = asyncio.Event()
    one.hook = gate.wait
    reading = asyncio.create_task(one.get())
    await wait_until(lambda: one.asked > 0)
    await two.get(method="POST")
    gate.set()
    assert (await reading).body == b"body 1"
    one.hook = None
    assert (await one.get()).body == b"body 2"


async def test_groups_end_together() -> None:
    """RFC 9875: a write that names a group ends all its members, and no other's."""
    grouped = {"cache-control": "max-age=60", "cache-groups": '"cars", "red"'}
    write = Response({"cache-group-invalidation": '"red"'})
    site = Site(
        grouped, {"cache-control": "max-age=60", "cache-groups": '"cars"'}, write, {"cache-control": "max-age=60"}
    )
    await site.get("/a")
    await site.get("/b")
    await site.get("/write", method="POST")
    assert (await site.get("/a")).body == b"body 4"
    assert (await site.get("/b")).body == b"body 2"


async def test_a_response_on_its_way_does_not_outlive_its_group() -> None:
    """Nobody knew that it would be in the group when the group was ended."""
    site = Site({"cache-control": "max-age=60", "cache-groups": '"g"'}, Response({"cache-group-invalidation": '"g"'}))
    gate = asyncio.Event()
    site.hook = gate.wait
    reading = asyncio.create_task(site.get("/a"))
    await wait_until(lambda: site.asked > 0)
    site.hook = None
    await site.get("/b", method="POST")
    gate.set()
    await reading
    await site.get("/a")
    assert site.asked == 3


class LateStore:
    """A store whose copies in this process stay as they were when it was made late."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._copies: dict[str, bytes | None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def make_late(self, names: list[str]) -> None:
        self._copies = dict(zip(names, self._store.peek(names), strict=True))

    def peek(self, keys: Any) -> Any:
        if self._copies is None:
            return self._store.peek(keys)
        fresh = dict(zip(keys, self._store.peek(keys), strict=True))
        return [self._copies.get(key, fresh[key]) for key in keys]


async def test_a_copy_that_is_late_hides_no_end_of_a_group() -> None:
    """Another process ends a group for the first time, while this one still holds what was there before."""
    store = MemoryStore()
    late = LateStore(store)
    one = Site({"cache-control": "max-age=60", "cache-groups": '"g"'}, store=late)  # type: ignore[arg-type]
    two = Site(Response({"cache-group-invalidation": '"g"'}), store=store)
    gate = asyncio.Event()
    one.hook = gate.wait
    reading = asyncio.create_task(one.get("/a"))
    await wait_until(lambda: one.asked > 0)
    prefix = f"{one.cache.keyspace.prefix(database=False)}h:"
    late.make_late([f"{prefix}s:group", f"{prefix}s:{group_tag('http://testserver/a', 'g')}"])
    await two.get("/b", method="POST")
    gate.set()
    await reading
    one.hook = None
    assert (await one.get("/a")).body == b"body 2"
