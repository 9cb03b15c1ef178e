"""Explanations in place of answers, for operators: what the caches would do with a request, and why. Pure.

A request with ``Tailrace-Explain`` and the right to ask is not answered but explained, by the layer that would have
decided. Everything about it counts as it is: its host, its caller, the codings that it accepts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.prepared import Prepared
from tailrace.asgi.types import Send
from tailrace.cache import Explanation

__all__ = ["EXPLAIN", "MayExplain", "explanation_by_policy", "nobody", "send_explanation"]

EXPLAIN = b"tailrace-explain"

MayExplain = Callable[[Exchange], bool]
"""Whether whoever asks may know."""


def nobody(_exchange: Exchange) -> bool:
    """Nobody may."""
    return False


def explanation_by_policy(
    prepared: Prepared, found: Explanation, exchange: Exchange, *, passes_by: str | None
) -> dict[str, Any]:
    """What the response cache would do.

    Args:
        passes_by: why the request does not concern the cache at all, as a word of ``Cache-Status``.
    """
    policy, resolved = prepared.lookup.policy, prepared.resolved
    assert resolved.policy is not None
    document = {
        "by": "policy",
        "route": resolved.template,
        "policy": asdict(policy),
        "identity": "shared" if resolved.policy.shared else "own" if exchange.identity else "unknown",
        "varies_on": [name.decode("latin-1") for name in prepared.names],
        **asdict(found),
    }
    if passes_by is not None:
        document |= {"outcome": "bypass", "why": f"the request itself keeps the cache out of it: {passes_by}"}
    return document


async def send_explanation(document: Mapping[str, Any], exchange: Exchange, send: Send) -> None:
    """Send it in place of the answer."""
    exchange.cache = None
    body = json.dumps(document, default=str).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (EXPLAIN, b"1"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})
