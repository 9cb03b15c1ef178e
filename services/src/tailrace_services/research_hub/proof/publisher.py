"""A web site that posts are collected from, for the proof: pages and feeds without end, each path always the same.

Touches nothing itself: an ASGI application. ``/posts/<n>`` is a page, ``/feeds/<n>`` a feed of ten posts, and
``/_control`` takes ``{"latency_ms": ...}``, or DELETE for none.
"""

from __future__ import annotations

import asyncio
import json

from tailrace.asgi.types import Receive, Scope, Send

__all__ = ["ENTRIES", "Publisher"]

ENTRIES = 10
"""Posts of a feed."""
WORDS = ("river", "turbine", "valley", "harvest", "bridge", "lantern", "market", "violin", "glacier", "orchard")

PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>
<meta name="author" content="{author}"><meta property="article:published_time" content="{moment}"></head>
<body><nav>Home</nav><h1>{title}</h1>{text}</body></html>"""
FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>All of {number}</title>{items}</channel></rss>"""
ITEM = """<item><title>{title}</title><link>/posts/{number}-{entry}</link><author>{author}</author>
<pubDate>Mon, 02 Mar 2026 08:00:00 GMT</pubDate><description>{text}</description></item>"""


class Publisher:
    """The site."""

    def __init__(self) -> None:
        self._latency = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, status, kind, body = scope["path"], 200, "application/json", b"{}"
        if path == "/_control":
            given = (await receive()).get("body") or b"{}"
            if scope["method"] != "GET":
                self._latency = json.loads(given).get("latency_ms", 0) / 1000
        else:
            await asyncio.sleep(self._latency)
            kind, body = _page(path)
            status = 200 if body else 404
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _page(path: str) -> tuple[str, bytes]:
    _, _, rest = path.partition("/")
    what, _, number = rest.partition("/")
    if what == "posts":
        text = "".join(f"<p>{_text(number, part)}</p>" for part in range(20))
        filled = PAGE.format(title=f"Post {number}", author=_author(number), moment="2026-03-01T08:00:00Z", text=text)
        return "text/html; charset=utf-8", filled.encode()
    if what == "feeds":
        entries = [
            ITEM.format(
                title=f"Post {number}-{at}",
                number=number,
                entry=at,
                author=_author(f"{number}{at}"),
                text=_text(number, at),
            )
            for at in range(ENTRIES)
        ]
        return "application/rss+xml", FEED.format(number=number, items="".join(entries)).encode()
    return "text/plain", b""


def _author(number: str) -> str:
    return f"Author {sum(number.encode()) % 7}"


def _text(number: str, part: int) -> str:
    start = sum(number.encode()) + part
    return " ".join(WORDS[(start + at * (part + 1)) % len(WORDS)] for at in range(40)) + "."
