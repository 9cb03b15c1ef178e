"""Pagination: bounded lists, pages that can be followed, and parameters that are checked. Touches: the network.

**Source:** RFC 8288 (Link) for the next page.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

from tailrace.verify.http1 import Response
from tailrace.verify.probe.finding import Finding, Level
from tailrace.verify.probe.target import Target

__all__ = ["check"]

LISTS = ("items", "data", "results", "records", "rows", "entries")
SIGNS = ("next", "next_cursor", "nextCursor", "cursor", "has_next", "hasNext", "total", "total_count", "page", "offset")
MANY = 500
"""Items from which a list without pages falls short."""
_NEXT = re.compile(r"<([^<>\s]{1,4000})>\s*;[^,]*\brel=\"?next\b")
WRONG = ("limit=-1", "limit=x", "offset=-1", "page=-1", "cursor=%00garbage", "limit=99999999999999999999")


async def check(target: Target) -> list[Finding]:
    """What the service does with long lists, and with page parameters that make no sense."""
    answer = await target.ask()
    listed = _listed(answer)
    if listed is None:
        return [_finding("no-list", "note", "the answer is no list: there is nothing to page")]
    items, signs = listed
    link = _NEXT.search(", ".join(answer.headers("link")))
    found: list[Finding] = []
    if not signs and link is None:
        if len(items) >= MANY:
            return [_finding("unbounded", "short", f"{len(items):,} items at once and no way to ask for fewer")]
        found.append(_finding("unpaged", "note", f"{len(items):,} items and no sign of pages"))
    else:
        found.append(_finding("paged", "good", f"pages are described: {', '.join(signs) or 'Link'}"))
    if link is not None:
        found += await _followed(target, answer, link.group(1))
    for wrong in WRONG:
        reply = await target.try_asking(target.with_query(wrong))
        if reply is not None and reply.status >= 500:
            found.append(_finding("parameter-breaks", "short", f"?{wrong} answers {reply.status}"))
    return [*found, *await _greedy(target, len(items))]


def _listed(answer: Response) -> tuple[list[Any], list[str]] | None:
    """The list in the answer and the names beside it that tell of pages."""
    try:
        body = answer.json()
    except ValueError:
        return None
    signs: list[str] = []
    while isinstance(body, dict):
        signs += [name for name in SIGNS if name in body and name not in signs]
        inner = next((body[name] for name in LISTS if isinstance(body.get(name), list | dict)), None)
        if inner is None:
            return None
        body = inner
    return (body, signs) if isinstance(body, list) else None


async def _followed(target: Target, answer: Response, reference: str) -> list[Finding]:
    here, there = urlsplit(target.url), urlsplit(urljoin(target.url, reference))
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        return [_finding("link-elsewhere", "note", "the next page's Link names another host", "RFC 8288")]
    following = await target.ask(f"{there.path}?{there.query}")
    if following.status != 200:
        return [_finding("link-broken", "short", f"the next page's Link answers {following.status}", "RFC 8288")]
    if following.body == answer.body:
        return [_finding("link-repeats", "short", "the next page is this page again", "RFC 8288")]
    return [_finding("link", "good", "the next page's Link leads on", "RFC 8288")]


async def _greedy(target: Target, usual: int) -> list[Finding]:
    reply = await target.try_asking(target.with_query("limit=1000000"))
    listed = None if reply is None or reply.status != 200 else _listed(reply)
    if listed is not None and len(listed[0]) >= max(MANY * 20, 2 * usual):
        return [_finding("limit-unbounded", "short", f"?limit=1000000 gives {len(listed[0]):,} items")]
    return []


def _finding(code: str, level: Level, message: str, source: str = "") -> Finding:
    return Finding("pagination", code, level, message, source)
