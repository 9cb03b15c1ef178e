"""What one client was answered reaches another only where the response says so, however it came to be stored."""

from __future__ import annotations

import pytest
from tests.unit.asgi.http_cache.origin import Response, Site

from tailrace.asgi.api_versions import Version, Versions
from tailrace.asgi.versioning import VersioningMiddleware

FOR_ALL = {"cache-control": "public, max-age=1", "etag": '"a"'}
OF_ALICE = [
    {"cache-control": "public, max-age=60", "set-cookie": "session=alice"},
    {"cache-control": "private, max-age=60"},
    {"cache-control": "no-store"},
    {"cache-control": "max-age=60"},
    {"cache-control": "public, max-age=60", "vary": "*"},
]


@pytest.mark.parametrize("fields", OF_ALICE)
@pytest.mark.parametrize("credential", ["cookie", "authorization"])
async def test_a_304_for_one_client_is_not_merged_into_what_all_get(fields: dict[str, str], credential: str) -> None:
    """RFC 9111 3.5 and 7.3 hold for what a validation brings: it was made for who asked, with their credentials."""
    site = Site(FOR_ALL, Response({**fields, "etag": '"a"', "x-user": "alice"}, status=304), FOR_ALL)
    await site.get()
    await site.later(10)
    own = await site.get(**{credential: "alice"})
    assert (own.status, own.body, own.headers[b"x-user"]) == (200, b"body 1", b"alice")
    other = await site.get()
    assert other.headers.keys().isdisjoint({b"x-user", b"set-cookie"})
    assert site.asked == 3, "what is stored is as stale as it was"


@pytest.mark.parametrize("fields", OF_ALICE)
async def test_a_head_for_one_client_is_not_merged_into_what_all_get(fields: dict[str, str]) -> None:
    """The same for what a HEAD tells of the GET (RFC 9111 4.3.5)."""
    site = Site({"cache-control": "max-age=60", "etag": '"a"'}, {**fields, "etag": '"a"', "x-user": "alice"})
    await site.get()
    assert (await site.get(method="HEAD", authorization="alice")).headers[b"x-user"] == b"alice"
    other = await site.get()
    assert (other.body, site.asked) == (b"body 1", 2)
    assert other.headers.keys().isdisjoint({b"x-user", b"set-cookie"})


async def test_a_validation_behind_an_answer_is_somebodys_too() -> None:
    """It is made with the credentials of the client whose request began it."""
    control = "public, max-age=1, stale-while-revalidate=60"
    mine = Response({"cache-control": control, "etag": '"a"', "set-cookie": "session=alice"}, status=304)
    site = Site({"cache-control": control, "etag": '"a"'}, mine)
    await site.get()
    await site.later(10)
    await site.get(cookie="session=alice")
    await site.app.drain(5)
    assert site.asked == 2
    assert b"set-cookie" not in (await site.get()).headers


@pytest.mark.parametrize("control", ["max-age=60", "public, max-age=60", "s-maxage=60"])
async def test_a_cookie_is_set_for_one_client(control: str) -> None:
    """Whatever the response says: frameworks say ``public`` of a page and set a session's cookie with it."""
    site = Site({"cache-control": control, "set-cookie": "session=alice"})
    assert [(await site.get()).body for _ in range(2)] == [b"body 1", b"body 2"]


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("x-user", '"Doe, J"', '"Doe,J"'),
        ("cookie", "name=Doe, J", "name=Doe,J"),
        ("user-agent", "A/1 (a, b)", "A/1 (a,b)"),
    ],
)
async def test_blanks_that_mean_something(field: str, one: str, other: str) -> None:
    """4.1: blanks are left out only where the field's syntax has them without meaning: in lists, and not in quotes."""
    site = Site({"cache-control": "public, max-age=60", "vary": field})
    name = field.replace("-", "_")
    assert (await site.get(**{name: one})).body == b"body 1"
    assert (await site.get(**{name: other})).body == b"body 2"
    assert (await site.get(**{name: one})).body == b"body 1"


async def test_a_304_that_does_not_say_about_what() -> None:
    """4.3.4: where several were offered and the answer names none, all of it is asked for."""
    site = Site(
        {"cache-control": "max-age=1", "etag": '"a"', "vary": "a"},
        {"cache-control": "max-age=1", "etag": '"b"', "vary": "b"},
        Response({"cache-control": "max-age=60"}, status=304),
        {"cache-control": "max-age=60"},
    )
    await site.get(a="1", b="1")
    await site.later(2)
    await site.get(a="2", b="1")
    await site.later(10)
    assert (await site.get(a="1", b="1")).body == b"body 4"
    assert b"if-none-match" not in site.requests[3]


async def test_an_application_that_raises_is_there() -> None:
    """4.2.4: only what cannot be reached lets a stale response be served without its permission."""
    site = Site({"cache-control": "max-age=1", "etag": '"a"'}, Response(error=RuntimeError("a mistake")))
    await site.get()
    await site.later(10)
    with pytest.raises(RuntimeError, match="a mistake"):
        await site.get()


async def test_an_application_that_raises_has_failed() -> None:
    """RFC 5861 4: as if it had answered 500."""
    site = Site({"cache-control": "max-age=1, stale-if-error=60"}, Response(error=RuntimeError("a mistake")))
    await site.get()
    await site.later(10)
    assert (await site.get()).body == b"body 1"


@pytest.mark.parametrize(
    "location", ["http://testserver:80/there", "HTTP://TESTSERVER/there#part", "//testserver/there"]
)
async def test_what_a_write_names_however_it_is_written(location: str) -> None:
    """4.4: the same origin, with its port or without."""
    site = Site({"cache-control": "max-age=60"}, {"location": location}, {"cache-control": "max-age=60"})
    await site.get("/there")
    await site.get("/", method="POST")
    assert (await site.get("/there")).body == b"body 3"


async def test_a_write_ends_every_version_of_its_target() -> None:
    """4.4: versions that a header field names have one URI, and what is changed by way of one is changed in all."""
    site = Site({"cache-control": "max-age=60"})
    versions = Versions([Version("v1"), Version("v2")], field="Api-Version", default="v1", routed=False)
    site.app = VersioningMiddleware(site.app, versions=versions)  # type: ignore[assignment]
    assert [(await site.get("/api/x", api_version=name)).body for name in ("v1", "v2")] == [b"body 1", b"body 2"]
    assert [(await site.get("/api/x", api_version=name)).body for name in ("v1", "v2")] == [b"body 1", b"body 2"]
    await site.get("/api/x", method="PUT", api_version="v1")
    assert [(await site.get("/api/x", api_version=name)).body for name in ("v1", "v2")] == [b"body 4", b"body 5"]


@pytest.mark.parametrize(
    "said",
    [
        {"x_forwarded_host": "evil.example"},
        {"x_forwarded_proto": "https"},
        {"x_original_url": "/admin"},
        {"x_http_method_override": "DELETE"},
        {"forwarded": 'for=192.0.2.1;host="evil.example"'},
    ],
)
@pytest.mark.parametrize("vary", ["", "accept"])
async def test_who_says_to_have_asked_elsewhere_decides_nobodys_answer(said: dict[str, str], vary: str) -> None:
    """Cache poisoning: what an origin makes of such a field, and does not say in ``Vary``, is for who sends it."""
    site = Site({"cache-control": "max-age=60", "vary": vary})
    assert [(await site.get(**said)).body for _ in range(2)] == [b"body 1", b"body 1"]
    assert [(await site.get()).body for _ in range(2)] == [b"body 2", b"body 2"]
    assert (await site.get(**said)).body == b"body 1"
    other = dict.fromkeys(said, "x") if "forwarded" not in said else {"forwarded": "host=x"}
    assert (await site.get(**other)).body == b"body 3"


async def test_who_asked_for_whom_is_no_matter() -> None:
    """A proxy in front that names each client in ``Forwarded`` leaves one answer for all of them."""
    site = Site({"cache-control": "max-age=60"})
    for client in ("192.0.2.1", "192.0.2.2"):
        assert (await site.get(forwarded=f"for={client};proto=https", x_forwarded_for=client)).body == b"body 1"


async def test_a_write_ends_what_was_answered_to_them() -> None:
    """One target, whatever else a request says."""
    site = Site({"cache-control": "max-age=60"})
    assert (await site.get(x_forwarded_host="a")).body == b"body 1"
    await site.get(method="PUT")
    assert (await site.get(x_forwarded_host="a")).body == b"body 3"


@pytest.mark.parametrize(
    ("host", "path"), [("shop.example/a", "/b"), ("shop.example/a/b?", "/"), ("shop.example", "/a/b")]
)
@pytest.mark.parametrize("others", ["http://shop.example/a/b", "http://shop.example/a/b?/"])
async def test_a_slash_in_host_names_no_other_target(host: str, path: str, others: str) -> None:
    """A target is host and path, not the two in a row: origins that do not look at ``Host`` answer for the path."""
    site = Site({"cache-control": "max-age=60"})
    await site.get(path, host=host)
    theirs = others.removeprefix("http://shop.example")
    assert (await site.get(theirs, host="shop.example")).body == (b"body 1" if theirs == path else b"body 2")


@pytest.mark.parametrize("host", ["[", "[1]", "a:99999", "a b", ""])
async def test_what_is_no_host_is_answered_like_any_other(host: str) -> None:
    """Whether it is served is the application's to say, for what it writes as well."""
    site = Site({"cache-control": "max-age=60", "location": "/b"})
    assert [(await site.get(method=method, host=host)).status for method in ("GET", "POST", "GET")] == [200] * 3
    assert site.asked == 3
