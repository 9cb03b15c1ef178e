"""When what is stored answers a request: RFC 9111 sections 4, 5.2.1 and 5.2.2, RFC 5861, RFC 9211."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.asgi.http_cache.origin import Response, Site, ages
from tests.waiting import wait_until

from tailrace.errors import StoreUnavailableError
from tailrace.stores import MemoryStore


@pytest.mark.parametrize(
    ("request_fields", "age", "stored"),
    [
        ({"cache_control": "max-age=0"}, 0.5, False),
        ({"cache_control": "max-age=30"}, 20, True),
        ({"cache_control": "max-age=30"}, 40, False),
        ({"cache_control": "max-age=30, max-stale=20"}, 40, True),
        ({"cache_control": "min-fresh=30"}, 20, True),
        ({"cache_control": "min-fresh=50"}, 20, False),
        ({"cache_control": "no-cache"}, 1, False),
        ({"cache_control": "no-store"}, 1, False),
        ({"pragma": "no-cache"}, 1, False),
        ({"pragma": "no-cache", "cache_control": "max-age=60"}, 1, True),
        ({"pragma": "x"}, 1, True),
        ({"cache_control": "max-stale"}, 100, True),
        ({"cache_control": "max-stale=50"}, 100, True),
        ({"cache_control": "max-stale=30"}, 100, False),
        ({}, 59, True),
        ({}, 60, False),
        ({"cache_control": "only-if-cached"}, 10, True),
    ],
)
async def test_what_the_client_accepts(request_fields: dict[str, str], age: float, stored: bool) -> None:
    """5.2.1, on a response that is fresh for 60 seconds."""
    site = Site({"cache-control": "max-age=60"})
    await site.get()
    await site.later(age)
    assert (await site.get(**request_fields)).body == (b"body 1" if stored else b"body 2")


@pytest.mark.parametrize("control", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
async def test_what_may_never_be_stale(control: str) -> None:
    """4.2.4: neither for a client that would take it nor in a failure."""
    site = Site({"cache-control": f"max-age=60, stale-if-error=1000, {control}"}, Response(status=503))
    await site.get()
    await site.later(61)
    assert (await site.get(cache_control="max-stale")).status == 503


async def test_only_if_cached() -> None:
    """504 without asking the origin."""
    site = Site({"cache-control": "max-age=60"})
    assert (await site.get(cache_control="only-if-cached")).status == 504
    assert site.asked == 0


@pytest.mark.parametrize("broken", [True, False])
async def test_only_if_cached_where_the_store_cannot_be_asked(broken: bool) -> None:
    """The origin is asked by nobody who does not want it to be, whether the store is down or too late; by others it
    is."""

    class Unasked(MemoryStore):
        delay = 0.0 if broken else 1.0

        def peek(self, keys: Sequence[str]) -> None:  # type: ignore[override]
            return None

        async def get(self, keys: Sequence[str]) -> list[bytes | None]:
            raise StoreUnavailableError("down")

    site = Site({"cache-control": "max-age=60"}, store=Unasked())
    assert (await site.get(cache_control="only-if-cached")).status == 504
    assert site.asked == 0
    assert (await site.get()).body == b"body 1"


@pytest.mark.parametrize(("takes", "found"), [(3.0, True), (1.0, False)])
async def test_a_late_store_is_asked_for_what_takes_longer(takes: float, found: bool) -> None:
    """It may take a tenth of what the origin takes until it answers; what a 304 confirms is no cheaper for that."""

    class Far(MemoryStore):
        delay = 0.0
        asked = 0

        def peek(self, keys: Sequence[str]) -> None:  # type: ignore[override]
            return None

        async def get(self, keys: Sequence[str]) -> list[bytes | None]:
            self.asked += 1
            return super().peek(keys)

    store = Far()
    dear = Response({"cache-control": "max-age=60", "etag": '"a"'})
    site = Site(dear, Response({"cache-control": "max-age=60", "etag": '"a"'}, status=304), dear, store=store)
    site.hook = lambda: site.later(takes)
    await site.get()
    site.hook = None
    await site.later(70)
    assert (await site.get()).cache_status == b"tailrace; fwd=stale; fwd-status=304"
    store.delay, store.asked = 0.2, 0
    reply = await site.get()
    assert (reply.body, store.asked > 0) == ((b"body 1", True) if found else (b"body 3", False))


async def test_no_cache_of_some_fields() -> None:
    """5.2.2.4: without a validation, the response is used but for the fields that it names."""
    site = Site({"cache-control": 'max-age=60, no-cache="x-counter"', "x-counter": "1", "x-other": "2"})
    await site.get()
    reply = await site.get()
    assert (reply.body, reply.headers.get(b"x-counter"), reply.headers[b"x-other"]) == (b"body 1", None, b"2")


async def test_stale_while_it_is_validated_behind() -> None:
    """RFC 5861 3: within the window each gets the old response, and one request goes to the origin."""
    site = Site({"cache-control": "max-age=60, stale-while-revalidate=30"})
    await site.get()
    await site.later(70)
    gate = asyncio.Event()
    site.hook = gate.wait
    assert [(await site.get()).body for _ in range(3)] == [b"body 1"] * 3
    gate.set()
    await site.app.drain(5)
    assert site.asked == 2
    assert (await site.get()).body == b"body 2"
    await site.later(100)
    assert (await site.get()).body == b"body 3", "beyond the window it waits"


async def test_a_validation_behind_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it: it is said in the log, and the next request asks again."""
    control = {"cache-control": "max-age=60, stale-while-revalidate=30, stale-if-error=0"}
    site = Site(control, Response(error=ConnectionError("gone")), control)
    await site.get()
    await site.later(70)
    assert (await site.get()).body == b"body 1"
    await site.app.drain(5)
    assert "a validation behind an answer failed" in caplog.text
    assert (await site.get()).body == b"body 1"
    await site.app.drain(5)
    assert (await site.get()).body == b"body 3"


@pytest.mark.parametrize(
    ("control", "failure", "after", "served"),
    [
        ("stale-if-error=100", Response(status=500), 50, True),
        ("stale-if-error=100", Response(status=503), 150, False),
        ("stale-if-error=100", Response(status=404), 50, False),
        ("x", Response(status=503), 50, False),
        ("x", Response(error=ConnectionError("gone")), 50, True),
        ("stale-if-error=10", Response(error=ConnectionError("gone")), 50, False),
        ("must-revalidate", Response(error=ConnectionError("gone")), 50, False),
    ],
)
async def test_stale_in_a_failure(control: str, failure: Response, after: float, served: bool) -> None:
    """RFC 5861 4 for answers that say that they failed; RFC 9111 4.2.4 where there is none."""
    site = Site({"cache-control": f"max-age=60, {control}"}, failure)
    await site.get()
    await site.later(60 + after)
    if served:
        reply = await site.get()
        assert (reply.status, reply.body) == (200, b"body 1")
        assert ages(reply) == [60 + after]
    elif failure.error is not None:
        with pytest.raises(ConnectionError):
            await site.get()
    else:
        assert (await site.get()).status == failure.status


async def test_stale_in_a_failure_as_the_client_asks() -> None:
    """``stale-if-error`` of a request."""
    site = Site({"cache-control": "max-age=60"}, Response(status=500))
    await site.get()
    await site.later(70)
    assert (await site.get(cache_control="stale-if-error=30")).body == b"body 1"
    assert (await site.get(cache_control="stale-if-error=5")).status == 500


@pytest.mark.parametrize(
    ("vary", "first", "second", "same"),
    [
        ("accept", {"accept": "a"}, {"accept": "a"}, True),
        ("accept", {"accept": "a"}, {"accept": "b"}, False),
        ("accept", {"accept": "a"}, {}, False),
        ("accept", {}, {}, True),
        ("Accept", {"accept": "a, b"}, {"accept": "a,b"}, True),
        ("Accept", {"accept": "a, b"}, {"accept": "b, a"}, False),
        ("x, y", {"x": "1", "y": "2"}, {"x": "1", "y": "2"}, True),
        ("x\ny", {"x": "1", "y": "2"}, {"x": "1", "y": "3"}, False),
        ("accept-language", {"accept-language": "en, DE"}, {"accept-language": "EN,de"}, True),
        ("accept-language", {"accept-language": "en, de"}, {"accept-language": "de, en"}, False),
        ("x", {"x": "a"}, {"x": "A"}, False),
        (" x ,, y ", {"x": "1", "y": "2"}, {"x": "2", "y": "1"}, False),
    ],
)
async def test_vary(vary: str, first: dict[str, str], second: dict[str, str], same: bool) -> None:
    """4.1: the second request's values in all fields named are the first's, or another response is asked for."""
    site = Site({"cache-control": "max-age=60", "vary": vary})
    await site.get(**first)
    assert (await site.get(**second)).body == (b"body 1" if same else b"body 2")
    assert (await site.get(**first)).body == b"body 1", "the other one did not push it out"


async def test_the_newest_that_matches() -> None:
    """4: of several that match, the most recent."""
    site = Site({"cache-control": "max-age=60", "vary": "a"}, {"cache-control": "max-age=60", "vary": "b"})
    await site.get(a="1", b="1")
    await site.later(1)
    await site.get(a="2", b="1")
    assert (await site.get(a="1", b="1")).body == b"body 2"


async def test_targets_are_told_apart() -> None:
    """Path, query and host; the method GET answers HEAD too."""
    site = Site({"cache-control": "max-age=60", "content-length": "6"})
    for path in ("/", "/a", "/?a", "/?a=1", "/a?a=1"):
        assert (await site.get(path)).body == f"body {site.asked}".encode()
    assert site.asked == 5
    head = await site.get("/a", method="HEAD")
    assert (head.body, head.headers[b"content-length"], site.asked) == (b"", b"6", 5)


async def test_a_crowd_makes_one_request() -> None:
    """However many ask for what is on its way, one of them asks the origin."""
    site = Site({"cache-control": "max-age=60"})
    gate = asyncio.Event()
    site.hook = gate.wait
    asking = [asyncio.create_task(site.get()) for _ in range(100)]
    await wait_until(lambda: site.asked > 0)
    gate.set()
    replies = await asyncio.gather(*asking)
    assert {reply.body for reply in replies} == {b"body 1"}
    assert site.asked == 1
    assert sum(b"collapsed" in reply.cache_status for reply in replies) == 99


async def test_a_crowd_does_not_wait_for_what_is_not_stored() -> None:
    """As soon as the first response's fields are there, the others go their own way."""
    site = Site(Response({"cache-control": "no-store"}, chunks=(b"a", b"b")))
    replies = await asyncio.gather(*[site.get() for _ in range(5)])
    assert site.asked == 5
    assert all(reply.body == b"ab" for reply in replies)


async def test_a_crowd_survives_its_first() -> None:
    """When the request that was to serve all fails, the next one takes its place, and so on."""
    site = Site(
        Response(error=ConnectionError("a")), Response(error=ConnectionError("b")), {"cache-control": "max-age=9"}
    )
    replies: list[Any] = await asyncio.gather(*[site.get() for _ in range(10)], return_exceptions=True)
    assert sum(isinstance(reply, ConnectionError) for reply in replies) == 2
    assert {reply.body for reply in replies if not isinstance(reply, ConnectionError)} == {b"body 3"}
    assert site.asked == 3


@pytest.mark.parametrize("fields", [{"if_match": '"a"'}, {"if_unmodified_since": "x"}, {"content_length": "1"}])
async def test_what_only_the_origin_can_judge(fields: dict[str, str]) -> None:
    """Conditions for writes, and bodies of requests that have none."""
    site = Site({"cache-control": "max-age=60", "etag": '"a"'})
    await site.get()
    assert (await site.get(**fields)).body == b"body 2"
    assert (await site.get()).body == b"body 1"


@pytest.mark.parametrize(
    ("said", "first", "second", "same"),
    [
        ('params=("utm")', "/?a=1&utm=x", "/?a=1", True),
        ('params=("utm")', "/?a=1&utm=x", "/?utm=y&a=1", True),
        ('params=("utm")', "/?a=1&utm=x", "/?a=2&utm=x", False),
        ('params=("utm")', "/?a=1&b=2", "/?b=2&a=1", False),
        ("key-order", "/?a=1&b=2", "/?b=2&a=1", True),
        ("key-order", "/?a=1&a=2", "/?a=2&a=1", False),
        ("params", "/?a=1", "/", True),
        ('params, except=("id")', "/?id=1&a=1", "/?id=1&b=2", True),
        ('params, except=("id")', "/?id=1", "/?id=2", False),
        ('params=("a b")', "/?a+b=1", "/?a%20b=2", True),
        ('params=("utm")', "/x?utm=1", "/y?utm=1", False),
        ('except=("id")', "/?id=1&a=1", "/?id=1&b=2", False),
        ("params=utm", "/?utm=1", "/?utm=2", False),
        ("(nonsense", "/?a=1", "/?a=2", False),
    ],
)
async def test_no_vary_search(said: str, first: str, second: str, same: bool) -> None:
    """Targets that differ in what a response does not depend on share it; what is malformed changes nothing."""
    site = Site({"cache-control": "max-age=60", "no-vary-search": said})
    await site.get(first)
    assert (await site.get(second)).body == (b"body 1" if same else b"body 2")
    assert (await site.get(first)).body == b"body 1"


async def test_no_vary_search_is_ended_with_its_path() -> None:
    """A write to any target of the path ends what its rules make equivalent; ``Vary`` holds there as well."""
    fields: dict[str, Any] = {"cache-control": "max-age=60", "no-vary-search": "params", "vary": "x"}
    site = Site(fields)
    await site.get("/a?1", x="1")
    assert (await site.get("/a?2", x="2")).body == b"body 2"
    assert (await site.get("/a?3", x="1")).body == b"body 1"
    await site.get("/a?4", method="POST")
    assert (await site.get("/a?5", x="1")).body == b"body 4"
