"""``tailrace probe`` against a real uvicorn: a front door that is right, and one fault at a time in it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn
from fastapi import FastAPI

from tailrace import Tailrace, cached
from tailrace.errors import SettingsError
from tailrace.settings import Settings
from tailrace.verify.client import ExchangeFailedError
from tailrace.verify.probe import CHECKS, Report, probe

Header = tuple[bytes, bytes]
ITEMS = [{"id": n, "name": f"item {n}"} for n in range(1, 101)]


class FrontDoor:
    """A service whose front door is right but for ``faults``, each named as the finding that it must lead to."""

    def __init__(self, *faults: str) -> None:
        self.faults = set(faults)
        self.methods: set[str] = set()
        self._ids = count(1)
        self._left = 1000

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.methods.add(scope["method"])
        asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, headers, body = self.answer(scope, asked)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *self.ids(status, asked)]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def ids(self, status: int, asked: dict[str, str]) -> list[Header]:
        if self.faults & {"ids:none"} or (status == 404 and "ids:not-on-errors" in self.faults):
            return []
        own = "same" if "ids:repeated" in self.faults else f"id-{next(self._ids)}"
        given = asked.get("x-request-id", "")
        safe = given if "ids:echoes" in self.faults else given if given[:128].replace("-", "").isalnum() else ""
        if len(given) > 128 and "ids:echoes" not in self.faults:
            safe = ""
        return [(b"x-request-id", (safe or own).encode("latin-1"))]

    def answer(self, scope: Any, asked: dict[str, str]) -> tuple[int, list[Header], bytes]:
        path, query = scope["path"], parse_qs(scope["query_string"].decode())
        if scope["method"] not in ("GET", "HEAD"):
            return self.wrong_method()
        if scope["method"] == "HEAD" and "caching:head-fails" in self.faults:
            return self.failure()
        if len(asked.get("x-probe", "")) > 100 and "errors:long-header" in self.faults:
            return self.failure()
        if path != "/items":
            return self.missing(path)
        if ("limit" in query or "offset" in query) and "pagination:parameter-breaks" in self.faults:
            return self.failure()
        return self.items(asked, query)

    def wrong_method(self) -> tuple[int, list[Header], bytes]:
        if "errors:any-method" in self.faults:
            return 200, [], b"{}"
        allow = [] if "errors:allow-missing" in self.faults else [(b"allow", b"GET, HEAD")]
        return 405, allow, b""

    def failure(self) -> tuple[int, list[Header], bytes]:
        return 500, [(b"content-type", b"application/problem+json")], b"{}"

    def missing(self, path: str) -> tuple[int, list[Header], bytes]:
        if "errors:odd-path" in self.faults and "\x00" in path:
            return self.failure()
        if "errors:missing" in self.faults:
            return 200, [(b"content-type", b"application/json")], b"{}"
        if "errors:inside-shown" in self.faults:
            body = b'{"detail": "Traceback (most recent call last):\\n File \\"app.py\\""}'
            return 404, [(b"content-type", b"application/json")], body
        kind = b"text/html" if "errors:unreadable" in self.faults else b"application/problem+json"
        return 404, [(b"content-type", kind)], b'{"status": 404}'

    def items(self, asked: dict[str, str], query: dict[str, list[str]]) -> tuple[int, list[Header], bytes]:
        listed: list[dict[str, Any]] = ITEMS
        document: Any = {"items": listed, "has_next": True, "next_cursor": "abc"}
        if "pagination:unbounded" in self.faults:
            document = ITEMS * 6
        if "pagination:limit-unbounded" in self.faults and query.get("limit") == ["1000000"]:
            document = {"items": ITEMS * 101, "has_next": False}
        if query.get("cursor") == ["abc"] and "pagination:link-repeats" not in self.faults:
            document = {"items": [], "has_next": False}
        plain = json.dumps(document).encode()
        headers, body = self.encoded(plain, asked.get("accept-encoding", ""))
        tag = hashlib.sha256(plain).hexdigest()[:16].encode()
        if body is not plain and "compression:etag-shared" not in self.faults:
            tag += b"-gzip"
        etag = b'"%s"' % tag
        if "caching:etag-malformed" in self.faults:
            etag = etag.strip(b'"')
        if "caching:etag-unstable" in self.faults:
            etag = b'"%d"' % next(self._ids)
        headers += [(b"etag", etag), (b"content-type", b"application/json"), *self.life(), *self.limits()]
        if "pagination:unbounded" not in self.faults:
            place = b"/nowhere" if "pagination:link-broken" in self.faults else b"/items?cursor=abc"
            headers.append((b"link", b"<%s>; rel=next" % place))
        if asked.get("if-none-match", "").encode() == etag and "caching:condition-ignored" not in self.faults:
            return 304, headers, b""
        return 200, headers, body

    def encoded(self, plain: bytes, accepted: str) -> tuple[list[Header], bytes]:
        vary = [] if "compression:vary-missing" in self.faults else [(b"vary", b"Accept-Encoding")]
        refused = "gzip;q=0" in accepted and "compression:q-zero-ignored" not in self.faults
        wanted = ("gzip" in accepted and not refused) or "compression:identity-encoded" in self.faults
        if not wanted or "compression:no-gzip" in self.faults:
            return vary, plain
        body = gzip.compress(plain, mtime=0)
        if "compression:gzip-broken" in self.faults:
            body = b"\x1f\x8b" + body[3:]
        return [*vary, (b"content-encoding", b"gzip")], body

    def life(self) -> list[Header]:
        values = {
            "caching:silent": None,
            "caching:time-malformed": b"max-age=soon",
            "caching:cookie-shared": b"public, max-age=60",
            "caching:authenticated-shared": b"public, max-age=60",
        }
        value = next((values[fault] for fault in values if fault in self.faults), b"private, max-age=60")
        headers = [] if value is None else [(b"cache-control", value)]
        if "caching:age-malformed" in self.faults:
            headers.append((b"age", b"-3"))
        if "caching:cookie-shared" in self.faults:
            headers.append((b"set-cookie", b"session=1"))
        return headers

    def limits(self) -> list[Header]:
        self._left -= 1
        value = b"many" if "limits:malformed" in self.faults else b"1000"
        return [(b"x-ratelimit-limit", value), (b"x-ratelimit-remaining", b"%d" % self._left)]


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[str]:
    """``app`` behind a real server; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, **options))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


def shorts(report: Report) -> set[str]:
    return {f"{finding.check}:{finding.code}" for finding in report.short}


FAULTS = [
    *("compression:no-gzip", "compression:identity-encoded", "compression:vary-missing", "compression:etag-shared"),
    *("compression:q-zero-ignored", "compression:gzip-broken"),
    *("caching:silent", "caching:time-malformed", "caching:cookie-shared", "caching:etag-malformed"),
    *("caching:etag-unstable", "caching:condition-ignored", "caching:head-fails", "caching:age-malformed"),
    *("ids:none", "ids:repeated", "ids:not-on-errors", "ids:echoes"),
    *("errors:missing", "errors:unreadable", "errors:inside-shown", "errors:any-method", "errors:allow-missing"),
    *("errors:odd-path", "errors:long-header"),
    *("pagination:unbounded", "pagination:link-broken", "pagination:link-repeats", "pagination:parameter-breaks"),
    "pagination:limit-unbounded",
    "limits:malformed",
]


async def test_what_is_right_falls_short_nowhere() -> None:
    """A front door without fault is told that it has none, and is asked nothing that could change it."""
    door = FrontDoor()
    async with served(door, lifespan="off") as url:
        report = await probe(f"{url}/items")
    assert shorts(report) == set()
    assert report.status == 200
    assert {finding.check for finding in report.findings} == set(CHECKS)
    assert len([finding for finding in report.findings if finding.level == "good"]) >= 10
    assert door.methods == {"GET", "HEAD", "TRACE"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_found(fault: str) -> None:
    """One fault, one finding, by its name; nothing else is blamed."""
    async with served(FrontDoor(fault), lifespan="off", h11_max_incomplete_event_size=1 << 17, http="h11") as url:
        report = await probe(f"{url}/items")
    assert shorts(report) == {fault}


async def test_an_authenticated_answer_for_everybody() -> None:
    """Who shows a credential and gets an answer declared public is warned; the credential is nowhere in the report."""
    async with served(FrontDoor("caching:authenticated-shared"), lifespan="off") as url:
        report = await probe(f"{url}/items", headers={"Authorization": "Bearer top-secret"}, only=["caching"])
    assert shorts(report) == {"caching:authenticated-shared"}
    assert "top-secret" not in repr(report)


@pytest.mark.parametrize(
    ("retry_after", "code", "level"), [(True, "refuses", "good"), (False, "retry-after-missing", "short")]
)
async def test_a_burst_tells_whether_there_is_a_limit(retry_after: bool, code: str, level: str) -> None:
    """Refusals are looked at: they must say when to come again."""
    left = 10

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        nonlocal left
        left -= 1
        headers = [(b"retry-after", b"7")] if retry_after else []
        await send({"type": "http.response.start", "status": 200 if left > 0 else 429, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with served(limited, lifespan="off") as url:
        report = await probe(url, only=["limits"], burst=30)
    assert [(finding.code, finding.level) for finding in report.findings] == [(code, level)]


async def test_no_limit_is_only_noted() -> None:
    """A service without limits is not blamed: they may be in front of it."""
    async with served(FrontDoor(), lifespan="off") as url:
        report = await probe(f"{url}/items", only=["limits"], burst=30)
    assert ("unlimited", "note") in [(finding.code, finding.level) for finding in report.findings]


class Limited:
    """``app`` behind a limit that refuses what is told to it."""

    def __init__(self, app: Any, refuse: Callable[[int], bool], retry_after: bytes) -> None:
        self._app, self._refuse, self._retry_after = app, refuse, retry_after
        self._asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._asked += 1
        if not self._refuse(self._asked):
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", self._retry_after)]})
        await send({"type": "http.response.body", "body": b""})


async def test_a_limit_is_waited_for() -> None:
    """What a limit refuses is asked again when it says, so the service is judged by its answers and not by refusals."""
    app = Limited(FrontDoor("compression:q-zero-ignored"), lambda number: number % 2 == 0, b"0")
    async with served(app, lifespan="off") as url:
        report = await probe(f"{url}/items")
    assert shorts(report) == {"compression:q-zero-ignored"}
    assert {finding.check for finding in report.findings} == set(CHECKS)


async def test_a_limit_that_goes_on_refusing_is_told() -> None:
    """Who is not let in for longer than he has patience says that what he says is of refusals."""
    app = Limited(FrontDoor(), lambda number: number > 1, b"3600")
    async with served(app, lifespan="off") as url:
        report = await probe(f"{url}/items", only=["compression"])
    assert report.status == 200
    assert "address:limited" in shorts(report)


async def test_a_redirect_is_named() -> None:
    """An address that leads elsewhere is not taken for a service without faults."""

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/elsewhere")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(elsewhere, lifespan="off") as url:
        report = await probe(url, only=["compression"])
    [finding] = report.short
    assert (finding.check, finding.code) == ("address", "moved")
    assert "/elsewhere" in finding.message


async def test_our_own_front_door() -> None:
    """What Tailrace makes of an application falls short in nothing that it takes charge of."""
    app = FastAPI()
    Tailrace(app, Settings(database_url=None, valkey_url=None))

    @app.get("/items")
    @cached(ttl=60, shared=True)
    async def items() -> dict[str, Any]:
        return {"items": ITEMS[:5]}

    async with served(app, lifespan="on") as url:
        report = await probe(f"{url}/items", only=["caching", "ids", "errors", "pagination", "limits"])
    assert shorts(report) == set()


async def test_what_cannot_be_probed() -> None:
    """A wrong address and a silent one are errors of two kinds."""
    with pytest.raises(SettingsError):
        await probe("ftp://example.org/")
    with pytest.raises(ExchangeFailedError):
        await probe("http://127.0.0.1:9/")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailrace.cli", "probe", *arguments], capture_output=True, text=True, timeout=60
    )


async def test_command_line() -> None:
    """Exit code 0 where nothing falls short, 3 where something does, 2 for wrong use, 1 where nobody answers."""
    async with served(FrontDoor(), lifespan="off") as url:
        done = await asyncio.to_thread(command, f"{url}/items", "--format", "json", "-H", "X-Api-Key: secret")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {finding["level"] for finding in json.loads(done.stdout)["findings"]} == {"good", "note"}
    assert "secret" not in done.stdout + done.stderr
    async with served(FrontDoor("ids:none"), lifespan="off") as url:
        done = await asyncio.to_thread(command, f"{url}/items")
    assert done.returncode == 3
    assert "SHORT no request id" in done.stdout
    assert "1 falls short" in done.stdout
    async with served(FrontDoor(), lifespan="off") as url:
        done = await asyncio.to_thread(command, f"{url}/mistyped")
    assert done.returncode == 3, "a mistyped address is not taken for a service without faults"
    assert "SHORT the address answers 404" in done.stdout
    for wrong in (["ftp://x/"], ["http://x/", "--only", "looks"], ["http://x/", "-H", "no colon"]):
        assert (await asyncio.to_thread(command, *wrong)).returncode == 2
    nobody = await asyncio.to_thread(command, "http://127.0.0.1:9/")
    assert nobody.returncode == 1
    assert "127.0.0.1:9" in nobody.stderr
