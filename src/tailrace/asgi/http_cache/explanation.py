"""What the shared cache would do with a request, and why. Pure."""

from __future__ import annotations

from typing import Any

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.http_cache.reuse import asked_of, reuse
from tailrace.asgi.http_cache.shelf import Found

__all__ = ["explanation_by_headers"]


def explanation_by_headers(found: Found, exchange: Exchange, now: float) -> dict[str, Any]:
    """What the cache by RFC 9111 would do."""
    asked = asked_of(exchange.headers)
    document: dict[str, Any] = {
        "by": "headers",
        "target": found.target,
        "varies_on": [[name.decode("latin-1") for name in kind] for kind in found.kinds],
        "outcome": "miss",
        "why": "nothing stored matches: it varies" if found.others else "nothing is stored for this target",
        "stored": bool(found.responses),
    }
    if found.responses:
        newest = found.responses[0]
        held = newest.held(now)
        use = reuse(held, asked)
        document |= {
            "outcome": "hit" if use == "fresh" else "miss" if use == "validate" else "stale",
            "why": {
                "fresh": "fresh",
                "stale": "stale, which the request accepts",
                "revalidating": "stale, and served while it is validated behind",
                "validate": "it must be validated first",
            }[use],
            "status": newest.status,
            "age": held.age,
            "ttl": held.lifetime,
            "bytes": len(newest.body),
            "cache_control": str(newest.control),
        }
    return document
