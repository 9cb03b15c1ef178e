"""CPU time that compression adds to a response, and what it saves, beside other packages in the same run.

Each subject is a layer around one application, which has its bytes ready; rounds are interleaved and the quickest of
each is taken. CPU time of all threads counts. The peers are installed by ``make bench``.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

from bench import Measurement
from tailrace.asgi import CompressionMiddleware

ROUNDS = 30
SIZES = {"4 KB": 4 * 1024, "100 KB": 100 * 1024}
WORDS = ["call", "agent", "support", "completed", "billing", "question", "transfer", "customer", "refund", "order"]

App = Callable[[Any, Any, Any], Any]


def document(size: int) -> bytes:
    """JSON of about ``size`` bytes, as an API answers it: names that repeat, values that mostly do not."""
    draw = random.Random(4)
    rows: list[dict[str, Any]] = []
    length = 2
    while length < size:
        rows.append(
            {
                "id": draw.randrange(10**6),
                "title": " ".join(draw.choices(WORDS, k=4)),
                "minutes": round(draw.expovariate(0.2), 2),
                "created_at": f"2026-11-{draw.randint(1, 30):02}T{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:00Z",
                "completed": draw.random() < 0.7,
            }
        )
        length += len(json.dumps(rows[-1], separators=(",", ":"))) + 1
    return json.dumps(rows, separators=(",", ":")).encode()


def serving(body: bytes) -> App:
    """An application that has ``body`` ready."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


def subjects() -> dict[str, tuple[Callable[[App], App], str]]:
    """Each layer, and the coding it is asked for."""
    from brotli_asgi import BrotliMiddleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette_compress import CompressMiddleware

    return {
        "bare ASGI": (lambda app: app, "identity"),
        "Tailrace, zstd": (CompressionMiddleware, "zstd"),
        "Tailrace, br": (CompressionMiddleware, "br"),
        "Tailrace, gzip": (CompressionMiddleware, "gzip"),
        "Tailrace, identity": (CompressionMiddleware, "identity"),
        "starlette-compress, zstd": (CompressMiddleware, "zstd"),
        "starlette-compress, br": (CompressMiddleware, "br"),
        "starlette-compress, gzip": (CompressMiddleware, "gzip"),
        "brotli-asgi, br": (BrotliMiddleware, "br"),
        "Starlette GZip, gzip, its level 9": (GZipMiddleware, "gzip"),
        "Starlette GZip, gzip, level 6": (lambda app: GZipMiddleware(app, compresslevel=6), "gzip"),
    }


def scope_of(accept: str) -> dict[str, Any]:
    """What a server hands over for a GET."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"accept", b"*/*"), (b"accept-encoding", accept.encode())],
        "state": {},
    }


async def receive() -> dict[str, Any]:
    """A request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def sent_by(app: App, accept: str) -> int:
    """Bytes of the body.

    Raises:
        RuntimeError: the application did not encode it as asked, so its figures would compare nothing.
    """
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope_of(accept), receive, send)
    encoding = dict(messages[0]["headers"]).get(b"content-encoding", b"identity").decode()
    if encoding != accept:
        raise RuntimeError(f"asked for {accept}, got {encoding}")
    return sum(len(message.get("body", b"")) for message in messages)


async def send_nowhere(message: Any) -> None:
    """A client that takes everything."""


async def one_round(app: App, accept: str, requests: int) -> float:
    """Microseconds of CPU a request."""
    scopes = [scope_of(accept) for _ in range(requests)]
    began = time.process_time()
    for scope in scopes:
        await app(scope, receive, send_nowhere)
    return (time.process_time() - began) / requests * 1e6


async def measure(body: bytes, size: str) -> list[Measurement]:
    """All subjects with one body."""
    app = serving(body)
    made = {name: (wrap(app), accept) for name, (wrap, accept) in subjects().items()}
    best = dict.fromkeys(made, float("inf"))
    requests = max(3, 200_000 // len(body))
    for _ in range(ROUNDS):
        for name, (wrapped, accept) in made.items():
            best[name] = min(best[name], await one_round(wrapped, accept, requests))
    found = []
    for name, (wrapped, accept) in made.items():
        if name == "bare ASGI":
            continue
        saved = 100 - 100 * await sent_by(wrapped, accept) / len(body)
        added = best[name] - best["bare ASGI"]
        found += [
            Measurement("compression", f"{size}, {name}", "cpu_added", round(added, 1), "us"),
            Measurement("compression", f"{size}, {name}", "bytes_saved", round(saved, 1), "%"),
        ]
    return found


async def main() -> list[Measurement]:
    """Measure each size."""
    return [one for size, length in SIZES.items() for one in await measure(document(length), size)]


if __name__ == "__main__":
    for one in asyncio.run(main()):
        print(f"{one.name:<48} {one.metric:<12} {one.value:>10,.1f} {one.unit}")
