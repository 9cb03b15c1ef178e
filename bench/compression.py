"""Compression around an application that has its bytes ready, ours beside other packages, and the bytes that it saves.

Three bodies: the service's own 4 KB of items that are alike, and 4 and 100 KB of an API's answer whose values mostly
differ. CPU time of all threads counts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from bench.application import Application
from bench.asking import ASGIApp
from bench.contender import Surroundings, Table
from bench.service import BODY, bytes_ready
from tailrace.asgi import CompressionMiddleware

__all__ = ["TABLES", "document"]

WORDS = ["call", "agent", "support", "completed", "billing", "question", "transfer", "customer", "refund", "order"]


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


def by_starlette_compress(app: ASGIApp) -> ASGIApp:
    """starlette-compress as it comes."""
    from starlette_compress import CompressMiddleware

    return CompressMiddleware(app)


def by_brotli_asgi(app: ASGIApp) -> ASGIApp:
    """brotli-asgi as it comes."""
    from brotli_asgi import BrotliMiddleware

    return BrotliMiddleware(app)


def by_starlette(app: ASGIApp) -> ASGIApp:
    """Starlette's own as it comes, with its level 9."""
    from starlette.middleware.gzip import GZipMiddleware

    return GZipMiddleware(app)


def by_starlette_at_6(app: ASGIApp) -> ASGIApp:
    """Starlette's own at zlib's own level."""
    from starlette.middleware.gzip import GZipMiddleware

    return GZipMiddleware(app, compresslevel=6)


WAYS: tuple[tuple[str, Callable[[ASGIApp], ASGIApp], str, tuple[str, ...]], ...] = (
    ("Tailrace", CompressionMiddleware, "zstd", ()),
    ("starlette-compress", by_starlette_compress, "zstd", ("starlette-compress",)),
    ("Tailrace", CompressionMiddleware, "br", ()),
    ("starlette-compress", by_starlette_compress, "br", ("starlette-compress",)),
    ("brotli-asgi", by_brotli_asgi, "br", ("brotli-asgi",)),
    ("Tailrace", CompressionMiddleware, "gzip", ()),
    ("starlette-compress", by_starlette_compress, "gzip", ("starlette-compress",)),
    ("Starlette, level 9", by_starlette, "gzip", ()),
    ("Starlette, level 6", by_starlette_at_6, "gzip", ()),
    ("Tailrace", CompressionMiddleware, "", ()),
)


def _made(around: Callable[[ASGIApp], ASGIApp], body: bytes) -> Callable[[Surroundings], ASGIApp]:
    return lambda surroundings: around(bytes_ready(body))


def _table(name: str, body: bytes) -> Table:
    contenders = [Application("bare ASGI", _made(lambda app: app, body), body=body, computes=None)]
    for who, around, coding, packages in WAYS:
        contenders.append(
            Application(
                f"{who}: {coding or 'not asked'}",
                _made(around, body),
                peers=packages,
                accepts=coding or "identity",
                coding=coding,
                body=body,
                computes=None,
            )
        )
    return Table(name, tuple(contenders), baseline="bare ASGI")


TABLES = (
    _table("compression, 4 KB of like items", BODY),
    _table("compression, 4 KB", document(4 * 1024)),
    _table("compression, 100 KB", document(100 * 1024)),
)
