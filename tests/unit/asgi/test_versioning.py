"""Versions of an API: which one a request means, what is said of it, and that none answers for another."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.asgi.driver import App, Reply, ask

from tailrace.asgi import (
    Alias,
    Deprecated,
    ProblemDetailsMiddleware,
    Resolved,
    ResponseCacheMiddleware,
    RoutePolicy,
    Version,
    VersioningMiddleware,
    Versions,
)
from tailrace.cache import Cache
from tailrace.errors import RequestError
from tailrace.events import DeprecatedUsed, Event
from tailrace.stores import MemoryStore

SINCE = datetime(2026, 6, 1, tzinfo=UTC)
SUNSET = datetime(2027, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
GOING = Deprecated(SINCE, SUNSET, "v2", "https://docs.test/v1", "https://docs.test/policy")
BY_PATH = Versions(
    [Version("v1", deprecated=GOING), Version("v2")],
    aliases=[Alias("/tools", "/api/v1/tools", Deprecated(SINCE, SUNSET))],
)
BY_FIELD = Versions([Version("v1", deprecated=GOING), Version("v2")], field="API-Version", default="v2")
BY_DATE = Versions(
    [Version("2025-10-01"), Version("2026-01-15"), Version("edge", released=date(2026, 8, 1))], field="API-Version"
)


class Echo:
    """Answers with the path and the version that it was asked for."""

    def __init__(self, headers: Any = ()) -> None:
        self.headers = list(headers)
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        exchange = scope["tailrace.exchange"]
        said = {"path": scope["path"], "raw": scope["raw_path"].decode(), "version": exchange.version}
        await App(json.dumps(said).encode(), headers=self.headers)(scope, receive, send)


def layered(versions: Versions, app: Any = None, **options: Any) -> ProblemDetailsMiddleware:
    return ProblemDetailsMiddleware(VersioningMiddleware(app or Echo(), versions=versions, **options))


def named(version: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"api-version", version)]


def said(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def test_a_deprecated_version_says_so() -> None:
    """``Deprecation`` as a structured date, ``Sunset`` as an HTTP date in GMT, and links to the successor, to what to
    do and to the policy."""
    reply = await ask(layered(BY_PATH), "/api/v1/things/é", query_string=b"a=1")
    assert said(reply)["path"] == "/api/v1/things/é"
    assert reply.headers[b"deprecation"] == b"@1780272000"
    assert parsedate_to_datetime(reply.headers[b"sunset"].decode()) == SUNSET
    assert reply.headers[b"sunset"] == b"Fri, 01 Jan 2027 10:00:00 GMT"
    assert reply.headers[b"link"] == (
        b'</api/v2/things/%C3%A9>; rel="successor-version", '
        b'<https://docs.test/v1>; rel="deprecation"; type="text/html", '
        b'<https://docs.test/policy>; rel="sunset"; type="text/html"'
    )
    current = await ask(layered(BY_PATH), "/api/v2/things")
    assert not {b"deprecation", b"sunset", b"link", b"vary"} & set(current.headers)
    assert said(current)["version"] == "v2"


async def test_an_alias_goes_on_working() -> None:
    """The old path reaches the new one, with everything below it and any method, marked with its successor; what only
    begins with the same letters is something else."""
    for path, target in (("/tools", "/api/v1/tools"), ("/tools/search", "/api/v1/tools/search")):
        reply = await ask(layered(BY_PATH), path, method="POST", query_string=b"q=1")
        assert said(reply) == {"path": target, "raw": target, "version": "v1"}
        assert reply.headers[b"deprecation"] == b"@1780272000"
        assert reply.headers[b"link"] == f'<{target}>; rel="successor-version"'.encode()
    reply = await ask(layered(BY_PATH), "/toolsmith")
    assert said(reply) == {"path": "/toolsmith", "raw": "/toolsmith", "version": None}
    assert b"deprecation" not in reply.headers


async def test_below_a_mount() -> None:
    """Where the application is mounted makes no difference, whether or not the path says so."""
    for path in ("/here/tools/x", "/tools/x"):
        reply = await ask(layered(BY_PATH), path, root_path="/here")
        assert said(reply)["path"] == path.replace("/tools", "/api/v1/tools")
    assert said(await ask(layered(BY_PATH), "/hereafter/x", root_path="/here"))["path"] == "/hereafter/x"


@pytest.mark.parametrize(
    ("version", "path"),
    [(None, "/api/v2/things"), (b"v1", "/api/v1/things"), (b"v2", "/api/v2/things"), (b" v1 ", "/api/v1/things")],
)
async def test_named_in_a_field(version: bytes | None, path: str) -> None:
    """The field chooses, its absence means the default; the response says which it was and that the field decides."""
    reply = await ask(layered(BY_FIELD), "/api/things", headers=[] if version is None else named(version))
    assert said(reply)["path"] == path
    assert reply.headers[b"api-version"] == path.split("/")[2].encode()
    assert reply.headers[b"vary"] == b"API-Version"
    assert (b"deprecation" in reply.headers) == ("v1" in path)


async def test_the_path_goes_before_the_field() -> None:
    """A path that names its version needs no field, and does not vary by it."""
    reply = await ask(layered(BY_FIELD), "/api/v1/things", headers=named(b"v2"))
    assert said(reply)["version"] == "v1"
    assert b"vary" not in reply.headers


async def test_vary_is_added_to_what_is_there() -> None:
    """Once, and not where everything varies."""
    for already, expected in (
        ([(b"vary", b"Accept")], b"Accept, API-Version"),
        ([(b"Vary", b"api-version")], b"api-version"),
        ([(b"vary", b"*")], b"*"),
    ):
        reply = await ask(layered(BY_FIELD, Echo(already)), "/api/things")
        values = [value for name, value in reply.messages[0]["headers"] if name.lower() == b"vary"]
        assert b", ".join(values) == expected


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (b"2025-10-01", "2025-10-01"),
        (b"2026-01-14", "2025-10-01"),
        (b"2026-01-15", "2026-01-15"),
        (b"2026-07-31", "2026-01-15"),
        (b"2099-12-31", "edge"),
        (b"edge", "edge"),
    ],
)
async def test_a_date_means_what_was_current_on_it(asked: bytes, version: str) -> None:
    """The nearest version released on that day or before, in the field as in the path."""
    reply = await ask(layered(BY_DATE), "/api/things", headers=named(asked))
    assert said(reply)["path"] == f"/api/{version}/things"
    if asked[:1].isdigit():
        assert said(await ask(layered(BY_DATE), f"/api/{asked.decode()}/things"))["path"] == f"/api/{version}/things"


@pytest.mark.parametrize(
    ("versions", "path", "field", "status", "code"),
    [
        (BY_PATH, "/api/v3/things", None, 404, "unknown_version"),
        (BY_PATH, "/api/v3", None, 404, "unknown_version"),
        (BY_FIELD, "/api/v3/things", b"v1", 404, "unknown_version"),
        (BY_FIELD, "/api/things", b"v3", 400, "unknown_version"),
        (BY_FIELD, "/api/things", b"", 400, "unknown_version"),
        (BY_FIELD, "/api/things", b"v1, v2", 400, "unknown_version"),
        (BY_FIELD, "/api/things", b"\xff" * 5000, 400, "unknown_version"),
        (BY_DATE, "/api/things", b"2025-09-30", 400, "unknown_version"),
        (BY_DATE, "/api/things", b"2026-02-30", 400, "unknown_version"),
        (BY_DATE, "/api/2025-09-30/things", None, 404, "unknown_version"),
        (BY_DATE, "/api/things", None, 400, "version_required"),
    ],
)
async def test_an_unknown_version(versions: Versions, path: str, field: bytes | None, status: int, code: str) -> None:
    """A clear mistake of the client's, which names what there is; the application is not asked."""
    app = Echo()
    reply = await ask(layered(versions, app), path, headers=[] if field is None else named(field))
    body = json.loads(reply.body)
    assert (reply.status, body["code"], body["supported"]) == (status, code, versions.names)
    assert all(name in body["detail"] for name in versions.names)
    assert app.calls == 0


async def test_what_has_no_version_is_left_alone() -> None:
    """Paths outside the base, those below it that name no version where only paths do, and preflights."""
    for path in ("/", "/health", "/api", "/api/docs", "/apis/v9", "/api/vendors", "/api/v", "/api/version1"):
        assert said(await ask(layered(BY_PATH), path)) == {"path": path, "raw": path, "version": None}
    assert said(await ask(layered(BY_DATE), "/api/things", method="OPTIONS"))["version"] is None


async def test_other_protocols_pass() -> None:
    """What is no HTTP request goes through untouched."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    scope = {"type": "websocket", "path": "/tools"}
    await VersioningMiddleware(app, versions=BY_PATH)(scope, None, None)  # type: ignore[arg-type]
    assert scopes == [{"type": "websocket", "path": "/tools"}]


async def test_use_of_what_is_going_away_is_counted() -> None:
    """One event for each request, with names from the declaration and the route, failures included."""
    events: list[Event] = []

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("fails"):
            raise ZeroDivisionError
        await Echo()(scope, receive, send)

    app = layered(BY_PATH, failing, observer=events.append, route_of=lambda exchange: "/{template}")
    for path in ("/api/v1/a", "/api/v1/fails", "/api/v2/a", "/tools/x", "/other"):
        await ask(app, path)
    assert events == [DeprecatedUsed(name, "/{template}") for name in ("v1", "v1", "/tools")]


def cached(app: Any, versions: Versions, path: str) -> tuple[Any, Echo]:
    """The application behind a response cache that keeps everything, inside the versions."""
    policy = RoutePolicy(ttl=60, shared=True)
    routes: dict[str, Resolved] = {}

    def resolve(scope: Any) -> Resolved:
        return routes.setdefault(scope["path"], Resolved(scope["path"], policy))

    return layered(versions, ResponseCacheMiddleware(app, cache=Cache(MemoryStore()), resolve=resolve)), app


@pytest.mark.parametrize("routed", [True, False])
async def test_no_version_answers_for_another_from_the_cache(routed: bool) -> None:
    """The same URL in two versions is two entries, whether each has a path of its own or the application tells them
    apart; and a stored answer is marked as its request deserves."""
    versions = Versions(
        [Version("v1", deprecated=GOING), Version("v2")], field="API-Version", default="v2", routed=routed
    )
    app, inner = cached(Echo(), versions, "/api/things")
    for _ in range(2):
        for version in (b"v1", b"v2"):
            reply = await ask(app, "/api/things", headers=named(version))
            assert said(reply)["version"] == version.decode()
            assert (b"deprecation" in reply.headers) == (version == b"v1")
    assert reply.cache_status.startswith(b"tailrace; hit")
    assert inner.calls == 2


async def test_an_alias_shares_what_is_stored_but_not_its_marks() -> None:
    """The same resource is computed once; only who came by the old path is told of it."""
    versions = Versions([Version("v1")], aliases=[Alias("/tools", "/api/v1/tools", Deprecated(SINCE))])
    app, inner = cached(Echo(), versions, "/api/v1/tools/x")
    for path, marked in (("/tools/x", True), ("/api/v1/tools/x", False), ("/tools/x", True)):
        reply = await ask(app, path)
        assert (b"deprecation" in reply.headers) is marked
    assert inner.calls == 1


@given(st.text(max_size=30), st.none() | st.binary(max_size=20), st.sampled_from([BY_PATH, BY_FIELD, BY_DATE]))
def test_no_request_breaks_it(tail: str, field: bytes | None, versions: Versions) -> None:
    """Whatever is asked, there is a version, none, or the client's mistake; and no field can hold another line."""
    for start in ("/", "/api", "/api/", "/api/v1", "/api/v1/", "/tools/"):
        try:
            chosen = versions.choose(start + tail, field)
        except RequestError:
            continue
        if chosen is not None:
            assert chosen.path.startswith("/")
            assert all(b"\r" not in value and b"\n" not in value for _, value in chosen.fields)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Versions([]),
        lambda: Versions([Version("v1"), Version("v1")]),
        lambda: Versions([Version("v1"), Version("v2", prefix="/api/v1/v2")]),
        lambda: Versions([Version("v1", prefix="/x"), Version("v2", prefix="/x")]),
        lambda: Versions([Version("v1\r\n")]),
        lambda: Versions([Version("v1")], base="api"),
        lambda: Versions([Version("v1")], base="/api/"),
        lambda: Versions([Version("v1")], default="v2", field="API-Version"),
        lambda: Versions([Version("v1")], field="API Version"),
        lambda: Versions([Version("v1")], routed=False),
        lambda: Versions([Version("v1", deprecated=GOING)]),
        lambda: Versions([Version("v1")], aliases=[Alias("/x", "/x/y")]),
        lambda: Deprecated(datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: Deprecated(SUNSET, SINCE),
    ],
)
def test_wrong_declarations_are_refused(wrong: Any) -> None:
    """When they are made, not when a request comes."""
    with pytest.raises(ValueError, match=r"\w"):
        wrong()
