"""What strangers send, over a real server: each attack is answered, and leaves nothing behind.

Forged cursors have their own tests (``tests/property/core/test_cursor.py``, ``test_pagination.py`` here).
"""

from __future__ import annotations

import asyncio
import gzip
import resource
import signal
from typing import Any

import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr
from tests.integration.fastapi.serving import served, talk

from tailrace import Tailrace, cached
from tailrace.settings import CompressionSettings, HttpSettings, RateLimitSettings, Settings


def settings(**changes: Any) -> Settings:
    return Settings(database_url=None, valkey_url=None, **changes)


def service(**changes: Any) -> tuple[FastAPI, Tailrace]:
    app = FastAPI()
    tailrace = Tailrace(app, settings(**changes))

    @app.get("/cached")
    @cached(ttl=60, shared=True)
    async def kept() -> dict[str, str]:
        return {"a": "b"}

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return app, tailrace


def get(path: str, *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_a_request_id_writes_no_header_of_its_own() -> None:
    """Line ends, percent-encoded or other line separators in an id end in an id of ours, never in a second field."""
    app, _ = service()
    async with served(app) as port:
        for evil in ("a\nset-cookie: x=1", "a%0d%0aset-cookie: x=1", "a\x85set-cookie: x=1", "a\x0bb", "é" * 10, "<b>"):
            answer = await talk(port, get("/cached", f"x-request-id: {evil}"))
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert b"set-cookie" not in head or status(answer) == 400
            assert not any(line.startswith(b"set-cookie") for line in head.split(b"\r\n"))
            assert evil.encode("latin-1") not in head


async def test_a_spoofed_address_is_no_new_caller() -> None:
    """However many addresses a client claims, it has one bucket; in the one that is not believed nothing is counted."""
    app, _ = service(rate_limit=RateLimitSettings(general="3/hour"))
    async with served(app) as port:
        answers = [await talk(port, get("/cached", f"x-forwarded-for: 10.0.0.{n}")) for n in range(6)]
        assert [status(answer) for answer in answers] == [200, 200, 200, 429, 429, 429]
        assert b"retry-after" in answers[-1].lower()


async def test_callers_without_number_are_bounded_in_memory() -> None:
    """Behind a trusted proxy each address has a bucket; a million of them have no more than the settings allow."""
    app, tailrace = service(
        http=HttpSettings(trusted_proxies="127.0.0.1"),
        rate_limit=RateLimitSettings(general="3/hour", max_buckets=100),
    )
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, 2000, 100):
            for n in range(start, start + 100):
                line = f"x-forwarded-for: 10.{n % 250}.{n // 250}.9"
                writer.write(get("/cached", line).replace(b"connection: close\r\n", b""))
            for _ in range(100):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()
        assert tailrace.limiter.held <= 100


async def test_endless_headers_are_refused() -> None:
    """Neither one field without end nor fields without number, also where the server would take them."""
    app, _ = service()
    async with served(app) as port:
        for fields in (["x-a: " + "a" * 200_000], [f"x-{n}: {'a' * 100}" for n in range(2000)]):
            assert status(await talk(port, get("/read", *fields, "content-length: 0", method="POST"))) == 431
        assert status(await talk(port, get("/cached"))) == 200


async def test_large_headers_within_the_servers_bounds_do_no_harm() -> None:
    """32 KB in every field that a layer reads: an answer, and none of it kept or repeated."""
    app, _ = service()
    long = "a" * 32_000
    fields = [
        f"{name}: {long}" for name in ("accept-encoding", "x-request-id", "traceparent", "if-none-match", "cookie")
    ]
    async with served(app) as port:
        for field in fields:
            answer = await talk(port, get("/cached", field))
            assert status(answer) == 200
            assert len(answer) < 4000


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_limit(chunked: bool) -> None:
    """413 with or without a declared length, and no more of it read than the limit allows."""
    app, _ = service(http=HttpSettings(max_body=10_000))
    part = b"%x\r\n" % 5000 + b"x" * 5000 + b"\r\n"
    field, body = ("transfer-encoding: chunked", part * 3 + b"0\r\n\r\n") if chunked else ("content-length: 20000", b"")
    async with served(app) as port:
        answer = await talk(port, get("/read", field, method="POST", body=body))
        assert (status(answer), b"content_too_large" in answer) == (413, True)


async def test_a_decompression_bomb() -> None:
    """A gigabyte in a megabyte is 413 before a hundredth of it is there."""
    app, _ = service(compression=CompressionSettings(coded_requests="decode"))
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with served(app) as port:
        fields = ("content-encoding: gzip", f"content-length: {len(bomb)}")
        answer = await talk(port, get("/read", *fields, method="POST", body=bomb))
    assert status(answer) == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024, "kilobytes"


FIELDS = {
    "accept-encoding": ("gzip;q=0." + "0" * 40, ",;" * 9000, "gzip" + " " * 16_000 + "x"),
    "cache-control": ("max-age=" + "9" * 16_000, 'a="' * 5000, "," * 16_000),
    "traceparent": ("00-" + "0" * 16_000, "00-" + "f" * 32 + "-" + "f" * 16 + "-00" + "-" * 16_000),
    "tracestate": ("a=1," * 4000,),
    "x-request-id": ("a" * 129, "-" * 16_000),
    "x-request-timeout": ("9" * 16_000, "1." + "0" * 16_000, "." * 16_000),
    "if-none-match": ('"a",' * 4000, '"' * 16_000, "W/" * 8000, " " * 16_000 + '"'),
    "if-modified-since": ("Sun, " * 3000, "0" * 16_000),
    "range": ("bytes=" + "0-1," * 4000,),
    "x-forwarded-for": ("1.1.1.1, " * 2000, ":" * 16_000, "[" * 16_000),
    "cookie": ("a=b;" * 4000, "=" * 16_000),
    "host": ("x" * 16_000,),
}
"""Values at which careless patterns and parsers take time that grows faster than their length."""


def give_up(_signal: int, _frame: object) -> None:
    raise AssertionError("a field took the process more than a minute to read")


async def test_no_field_is_costly_to_read() -> None:
    """Each value is answered; a pattern that backtracks would never come to an end, so there is an alarm."""
    app, _ = service(http=HttpSettings(trusted_proxies="127.0.0.1", server_timing=True))
    signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, 60)
    try:
        await ask_with_all_fields(app)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)


async def ask_with_all_fields(app: FastAPI) -> None:
    async with served(app) as port:
        for name, values in FIELDS.items():
            for value in values:
                answer = await talk(port, get("/cached", f"{name}: {value}"))
                assert status(answer) in (200, 304, 400, 431), name


async def test_secrets_are_in_no_answer() -> None:
    """A wrong address of the store with its password in it reaches no client."""
    app = FastAPI()
    Tailrace(app, Settings(database_url=None, valkey_url=SecretStr("redis://:hush-hush@127.0.0.1:1/0")))
    async with served(app) as port:
        for path in ("/readyz", "/monitoring/health", "/monitoring/metrics", "/metrics", "/nothing"):
            assert b"hush-hush" not in await talk(port, get(path))
