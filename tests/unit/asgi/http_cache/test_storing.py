"""What is stored and for how long: RFC 9111 sections 3 and 4.2, RFC 9213."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.asgi.http_cache.origin import Response, Site, ages

FRESH = {"cache-control": "max-age=60"}


@pytest.mark.parametrize(
    ("headers", "stored"),
    [
        ({"cache-control": "max-age=60"}, True),
        ({"cache-control": "s-maxage=60"}, True),
        ({"cache-control": "max-age=0, s-maxage=60"}, True),
        ({"cache-control": "max-age=60, s-maxage=0"}, False),
        ({"expires": 60.0, "date": 0.0}, True),
        ({"expires": -60.0, "date": 0.0}, False),
        ({"expires": "0", "date": 0.0}, False),
        ({"expires": "Thu, 18 Aug 2050 02:01:18 UTC", "date": 0.0}, False),
        ({"expires": 60.0, "date": 0.0, "cache-control": "max-age=0"}, False),
        ({"expires": -60.0, "date": 0.0, "cache-control": "max-age=60"}, True),
        ({"expires": 60.0, "date": 120.0}, False),
        ({}, False),
        ({"cache-control": "public"}, False),
        ({"last-modified": -100_000.0, "date": 0.0}, False),
        ({"cache-control": "max-age=60, no-store"}, False),
        ({"cache-control": "max-age=60, private"}, False),
        ({"cache-control": "max-age=60, private=x-secret"}, True),
        ({"cache-control": "max-age=60, no-cache"}, False),
        ({"cache-control": "max-age=60, unknown=1, x"}, True),
        ({"cache-control": "max-age='60'"}, False),
        ({"cache-control": 'extension="max-age=60"'}, False),
        ({"cache-control": "max-age=99999999999"}, True),
        ({"cache-control": "max-age=60", "vary": "*"}, False),
        ({"cache-control": "max-age=60", "vary": "x, *"}, False),
        ({"cache-control": "max-age=60", "set-cookie": "a=b"}, False),
        ({"cache-control": "max-age=60, public", "set-cookie": "a=b"}, False),
        ({"cache-control": "max-age=60", "age": "59"}, True),
        ({"cache-control": "max-age=60", "age": "60"}, False),
        ({"cache-control": "max-age=60", "age": "7200, 0"}, False),
        ({"cache-control": "max-age=60", "age": "abc"}, True),
        ({"cache-control": "max-age=60", "date": -120.0}, False),
        ({"cdn-cache-control": "max-age=60"}, True),
        ({"cdn-cache-control": "max-age=60", "cache-control": "no-store", "expires": "0"}, True),
        ({"cdn-cache-control": "no-store", "cache-control": "max-age=60"}, False),
        ({"cdn-cache-control": "private", "cache-control": "max-age=60"}, False),
        ({"cdn-cache-control": "max-age=0", "cache-control": "max-age=60", "expires": 60.0}, False),
        ({"cdn-cache-control": "max-age=60, &&&", "cache-control": "no-store"}, False),
        ({"cdn-cache-control": 'max-age="60"', "cache-control": "max-age=60"}, False),
        ({"cdn-cache-control": "", "cache-control": "max-age=60"}, True),
    ],
)
async def test_what_is_stored(headers: dict[str, Any], stored: bool) -> None:
    """The second request is answered from the store, or is not."""
    site = Site(headers)
    replies = [await site.get() for _ in range(2)]
    assert [reply.body for reply in replies] == ([b"body 1", b"body 1"] if stored else [b"body 1", b"body 2"])
    assert b"hit" in replies[1].cache_status if stored else b"fwd=" in replies[1].cache_status


@pytest.mark.parametrize(
    ("status", "extra", "stored"),
    [
        (200, "", True),
        (204, "", True),
        (302, "", True),
        (404, "", True),
        (410, "", True),
        (500, "", True),
        (599, "", True),
        (206, "", False),
        (304, "", False),
        (404, ", must-understand, no-store", True),
        (599, ", must-understand, no-store", False),
        (599, ", must-understand", False),
    ],
)
async def test_statuses(status: int, extra: str, stored: bool) -> None:
    """Any final status that says how long it is fresh, but for parts; ``must-understand`` only of those that are known,
    and then over ``no-store`` (5.2.2.3)."""
    site = Site(Response({"cache-control": "max-age=60" + extra}, status=status))
    assert [(await site.get()).status for _ in range(2)] == [status, status]
    assert site.asked == (1 if stored else 2)


@pytest.mark.parametrize(
    ("control", "stored"),
    [("max-age=60", False), ("public, max-age=60", True), ("s-maxage=60", True), ("max-age=60, must-revalidate", True)],
)
async def test_responses_to_credentials(control: str, stored: bool) -> None:
    """3.5: stored only if the response says so."""
    site = Site({"cache-control": control})
    await site.get(authorization="Bearer a")
    found = await site.get(authorization="Bearer b")
    for_all = stored and "must-revalidate" not in control
    assert found.body == (b"body 1" if for_all else b"body 2")


@pytest.mark.parametrize("field", ["cookie", "authorization"])
async def test_what_is_for_nobody_in_particular_answers_nobody_in_particular(field: str) -> None:
    """A page stored for strangers is not shown to who says who they are, unless it says that it is for all."""
    site = Site(FRESH)
    await site.get()
    assert (await site.get(**{field: "me"})).body == b"body 2"
    assert (await site.get()).body == b"body 1"
    open_site = Site({"cache-control": "max-age=60, public"})
    await open_site.get()
    assert (await open_site.get(**{field: "me"})).body == b"body 1"


async def test_age_counts_from_the_origin() -> None:
    """4.2.3: what it was old when it came, what the request took, and what it has lain here."""
    site = Site({"cache-control": "max-age=60", "age": "10"})
    site.hook = lambda: site.later(3)
    first = await site.get()
    await site.later(5)
    second = await site.get()
    await site.later(41)
    third = await site.get()
    await site.later(1)
    fourth = await site.get()
    assert ages(second, third) == [18, 59]
    assert first.headers[b"age"] == b"10", "what is passed on says what the origin said"
    assert (third.body, fourth.body) == (b"body 1", b"body 2")


async def test_an_old_date_is_an_age() -> None:
    """The larger of what Age and Date tell."""
    site = Site({"cache-control": "max-age=60", "date": -30.0, "age": "10"})
    await site.get()
    assert ages(await site.get()) == [30]


async def test_a_lifetime_by_path() -> None:
    """What the operator says of a path holds for what says nothing itself, also once it has been validated."""
    lifetimes = {"/kept": 100.0}
    site = Site({"etag": '"a"'}, Response({"etag": '"a"'}, status=304), ttl=lifetimes.get, heuristic=0.1)
    await site.get("/kept")
    await site.later(99)
    assert (await site.get("/kept")).body == b"body 1"
    await site.later(2)
    assert (await site.get("/kept")).body == b"body 1"
    await site.later(99)
    assert (await site.get("/kept")).body == b"body 1"
    assert site.asked == 2
    for fields in ({"cache-control": "no-store"}, {"cache-control": "no-cache"}, {"cache-control": "max-age=0"}):
        other = Site(fields, ttl=lifetimes.get)
        assert [(await other.get("/kept")).body for _ in range(2)] == [b"body 1", b"body 2"]
    for status in (201, 403, 500):
        other = Site(Response({}, status=status), ttl=lifetimes.get)
        assert [(await other.get("/kept")).body for _ in range(2)] == [b"body 1", b"body 2"]
    other = Site({}, ttl=lifetimes.get)
    assert [(await other.get("/other")).body for _ in range(2)] == [b"body 1", b"body 2"]


async def test_heuristics_only_if_asked_for() -> None:
    """4.2.2: a tenth of the time since it was last modified, a day at most, and not with a status that says nothing."""
    site = Site({"last-modified": -1000.0, "date": 0.0}, heuristic=0.1)
    await site.get()
    await site.later(99)
    assert (await site.get()).body == b"body 1"
    await site.later(2)
    assert site.asked == 1
    await site.get()
    assert site.asked == 2
    other = Site(Response({"last-modified": -1000.0, "date": 0.0}, status=599), heuristic=0.1)
    await other.get()
    await other.get()
    assert other.asked == 2


async def test_fields_of_a_connection_are_not_kept() -> None:
    """3.1: neither those that belong to it nor those that it names; others are kept as they came, repeats included."""
    site = Site(
        {
            "cache-control": "max-age=60, private=x-secret",
            "connection": "x-hop, close",
            "x-hop": "1",
            "keep-alive": "1",
            "proxy-authenticate": "x",
            "x-secret": "1",
            "x-kept": "one\ntwo",
        }
    )
    await site.get()
    reply = await site.get()
    names = [name for name, _ in reply.messages[0]["headers"]]
    assert not {b"connection", b"x-hop", b"keep-alive", b"proxy-authenticate", b"x-secret"} & set(names)
    assert [value for name, value in reply.messages[0]["headers"] if name == b"x-kept"] == [b"one", b"two"]


async def test_a_body_that_is_cut_is_not_stored() -> None:
    """Shorter, or longer, than its length says: not what the origin meant."""
    for length in ("100", "1"):
        site = Site({"cache-control": "max-age=60", "content-length": length})
        await site.get()
        await site.get()
        assert site.asked == 2


async def test_large_bodies_and_trailers_pass_through() -> None:
    """Declared or not, what is too long, or ends in trailers, is passed on whole and not kept."""
    for response in (
        Response({"cache-control": "max-age=60", "content-length": "30"}, body=b"x" * 30),
        Response(FRESH, chunks=(b"x" * 15, b"x" * 15)),
        Response(FRESH, body=b"x" * 5, trailers=True),
    ):
        site = Site(response, max_body=20)
        replies = [await site.get() for _ in range(2)]
        assert replies[0].body == replies[1].body
        assert site.asked == 2


async def test_nothing_is_held_back() -> None:
    """Each part is with the client before the origin makes the next one; behind the last, it is stored."""
    site = Site(Response(FRESH, chunks=(b"a", b"b", b"c")))
    seen: list[tuple[str, bytes]] = []

    async def send(message: Any) -> None:
        seen.append((message["type"], message.get("body", b"")))

    sent: list[int] = []
    origin = site.origin

    async def spied(scope: Any, receive: Any, forward: Any) -> None:
        async def noting(message: Any) -> None:
            await forward(message)
            sent.append(len(seen))

        await origin(scope, receive, noting)

    site.app.app = spied
    from tests.unit.asgi.driver import http_scope

    await site.app(http_scope("/"), None, send)  # type: ignore[arg-type]
    assert sent == [1, 2, 3, 4]
    assert (await site.get()).body == b"abc"
    assert site.asked == 1
