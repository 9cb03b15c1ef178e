"""CPU time of the HTTP layers, in process, beside a bare ASGI application and FastAPI in the same run.

Rounds are interleaved and the quickest of each is taken, so that what else the machine does falls on all alike. Shown
in microseconds of process CPU time a request, and as a ratio to the bare application.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from tailrace import Tailrace, cached
from tailrace.asgi import ProblemDetailsMiddleware, RequestContextMiddleware
from tailrace.settings import Settings

ROUNDS = 40
REQUESTS = 50
ITEMS = [{"id": number, "name": f"item {number}", "price": number * 1.5} for number in range(80)]
BODY = b"x" * 4096
HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"bench/1"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"identity"),
    (b"connection", b"keep-alive"),
    (b"x-user", b"7"),
]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """An application that has its bytes ready."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def asking(app: Any, accept: bytes) -> Any:
    """``app`` asked for another content coding."""
    headers = [(name, accept if name == b"accept-encoding" else value) for name, value in HEADERS]

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = list(headers)
        await app(scope, receive, send)

    return serve


def service(*, tailrace: bool, routes: int = 2, settings: Settings | None = None) -> FastAPI:
    """A FastAPI application with one cached and one plain endpoint, the last of ``routes``."""
    app = FastAPI()
    if tailrace:
        Tailrace(app, settings or Settings(database_url=None, valkey_url=None))

    async def items() -> Any:
        return ITEMS

    for number in range(routes - 2):
        app.get(f"/other/{number}/{{x}}")(items)
    app.get("/plain")(items)

    @app.get("/cached")
    @cached(
        ttl=600,
        identity=lambda exchange: exchange.headers.get(b"x-user", b"").decode(),
        depends_on=lambda identity, path, query: (f"calls:user_id={identity}",),
    )
    async def kept() -> Any:
        return ITEMS

    return app


def scope_of(path: str) -> dict[str, Any]:
    """What a server hands over for a GET."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(HEADERS),
        "state": {},
    }


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    return None


async def one_round(app: Any, path: str, requests: int) -> float:
    """Microseconds of CPU a request, over one short round."""
    scopes = [scope_of(path) for _ in range(requests)]
    began = time.process_time()
    for scope in scopes:
        await app(scope, _receive, _send)
    return (time.process_time() - began) / requests * 1e6


async def measure(subjects: dict[str, tuple[Any, str]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """The quickest round of each subject, all interleaved."""
    best = dict.fromkeys(subjects, float("inf"))
    for _ in range(rounds):
        for name, (app, path) in subjects.items():
            best[name] = min(best[name], await one_round(app, path, REQUESTS))
    return best


def rows(found: dict[str, float]) -> list[dict[str, Any]]:
    """The figures as rows, added cost in place of the whole where a layer stands around something."""
    base = found["bare ASGI"]
    added = {
        "stack, not cached, added to FastAPI": found["stack, not cached"] - found["FastAPI"],
        "stack, not cached, zstd, added to FastAPI": found["stack, not cached, zstd"] - found["FastAPI"],
        "stack, 100 routes, added to FastAPI": found["stack, 100 routes"] - found["FastAPI, 100 routes"],
        "request context, added to bare ASGI": found["request context"] - base,
        "problem details, added to bare ASGI": found["problem details"] - base,
        "stack, hit, added to bare ASGI": found["stack, hit"] - base,
        "stack, hit, Tailrace served, added": found["stack, hit, Tailrace served"] - base,
    }
    return [
        {
            "group": "layers",
            "name": name,
            "metric": "cpu_per_request",
            "value": round(value, 2),
            "unit": "us",
            "ratio_to_bare": round(value / base, 2),
        }
        for name, value in {**found, **added}.items()
    ]


def subjects() -> dict[str, tuple[Any, str]]:
    """What is compared."""
    plain, stacked = service(tailrace=False), service(tailrace=True)
    many, stacked_many = service(tailrace=False, routes=100), service(tailrace=True, routes=100)
    wrap: Callable[[Any], Any]
    made: dict[str, tuple[Any, str]] = {"bare ASGI": (bare, "/")}
    for name, wrap in (("request context", RequestContextMiddleware), ("problem details", ProblemDetailsMiddleware)):
        made[name] = (wrap(bare), "/")
    made["FastAPI"] = (plain, "/plain")
    made["stack, not cached"] = (stacked, "/plain")
    made["FastAPI, 100 routes"] = (many, "/plain")
    made["stack, 100 routes"] = (stacked_many, "/plain")
    made["stack, hit"] = (stacked, "/cached")
    made["stack, hit, Tailrace served"] = (stacked.state.tailrace, "/cached")
    # The same entry is served in the coding that it is stored in, and in another.
    made["stack, hit, zstd, Tailrace served"] = (asking(stacked.state.tailrace, b"zstd"), "/cached")
    made["stack, not cached, zstd"] = (asking(stacked, b"zstd"), "/plain")
    return made


def main() -> list[dict[str, Any]]:
    """Measure and print."""
    found = rows(asyncio.run(measure(subjects())))
    for row in found:
        print(f"{row['name']:<40} {row['value']:>9.2f} us  {row['ratio_to_bare']:>8.2f} x bare")
    return found


if __name__ == "__main__":
    main()
