"""Caching: whether what the service says can be understood, and whether its validators work. Touches: the network.

**Source:** RFC 9111 sections 5.1, 5.2 and 3.5; RFC 9110 sections 8.8.3, 9.3.2, 13.1 and 15.4.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tailrace.core.cache_control import CacheControl, parse_cache_control
from tailrace.verify.http1 import Response
from tailrace.verify.probe.finding import Finding, Level
from tailrace.verify.probe.target import Target

__all__ = ["check"]

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_SECONDS = re.compile(r"\d{1,10}")
_TIMES = re.compile(r"(?:^|[\s,])(max-age|s-maxage|stale-while-revalidate|stale-if-error)\s*=\s*\"?([^,\s\"]*)")


async def check(target: Target) -> list[Finding]:
    """What the service says of its answer's life, and what it does with conditions."""
    first, second = await target.ask(), await target.ask()
    found = [*_directives(target, first), *_age(first)]
    found += await _validators(target, first, second)
    found += await _head(target, first)
    return found


def _directives(target: Target, answer: Response) -> Iterator[Finding]:
    fields = answer.headers("cache-control")
    if not fields:
        if answer.status == 200:
            text = "no Cache-Control: each cache on the way decides for itself"
            yield _finding("silent", "short", text, "RFC 9111 section 4.2.2")
        return
    said = parse_cache_control(field.encode("latin-1") for field in fields)
    for name, value in _TIMES.findall(", ".join(fields).lower()):
        if not _SECONDS.fullmatch(value):
            text = f"{name} is no number of seconds, so the answer counts as stale"
            yield _finding("time-malformed", "short", text, "RFC 9111 section 4.2.1")
    if said.no_store and (said.max_age or said.s_maxage):
        yield _finding("contradiction", "note", "no-store beside a time to live: nothing is stored")
    shared = _shared(said)
    if shared and target.authenticated:
        text = "an answer to an authenticated request is declared fit for everybody (public or s-maxage)"
        yield _finding("authenticated-shared", "short", text, "RFC 9111 section 3.5")
    if shared and answer.headers("set-cookie"):
        yield _finding("cookie-shared", "short", "sets a cookie on an answer that is shared", "RFC 9111 section 7.3")
    yield _finding("cache-control", "good", f"Cache-Control: {', '.join(fields)}")
    if "*" in ",".join(answer.headers("vary")):
        yield _finding("vary-any", "note", "Vary: * means that no cache can answer", "RFC 9110 section 12.5.5")


def _shared(said: CacheControl) -> bool:
    return not (said.no_store or said.private) and said.for_all


def _age(answer: Response) -> Iterator[Finding]:
    age = answer.header("age")
    if age is not None and not _SECONDS.fullmatch(age):
        yield _finding("age-malformed", "short", "Age is no number of seconds", "RFC 9111 section 5.1")


async def _validators(target: Target, first: Response, second: Response) -> list[Finding]:
    etag, modified = first.header("etag"), first.header("last-modified")
    if first.status != 200:
        return []
    if etag is None and modified is None:
        text = "neither ETag nor Last-Modified: what a client holds is sent again"
        return [_finding("no-validator", "note", text, "RFC 9110 section 8.8")]
    found: list[Finding] = []
    if etag is not None and not _ETAG.fullmatch(etag):
        found.append(_finding("etag-malformed", "short", "the ETag is not a quoted string", "RFC 9110 section 8.8.3"))
    if etag is not None and first.body == second.body and second.header("etag") != etag:
        text = "two equal bodies with two ETags: conditions never match"
        return [*found, _finding("etag-unstable", "short", text, "RFC 9110 section 8.8.1")]
    if etag is not None:
        answer = await target.ask(If_None_Match=etag)
    else:
        answer = await target.ask(If_Modified_Since=modified or "")
    if answer.status == 304:
        found.append(_finding("not-modified", "good", "a client that holds the answer gets 304 and no body"))
    elif answer.status == 200 and first.body == second.body == answer.body:
        text = "sends the whole body to a client that shows the current validator"
        found.append(_finding("condition-ignored", "short", text, "RFC 9110 section 13.1"))
    return found


async def _head(target: Target, answer: Response) -> list[Finding]:
    head = await target.try_asking(method="HEAD")
    if head is None or head.status >= 500:
        return [_finding("head-fails", "short", "HEAD fails where GET works", "RFC 9110 section 9.3.2")]
    if head.status != answer.status:
        text = f"HEAD answers {head.status} where GET answers {answer.status}"
        return [_finding("head-differs", "note", text, "RFC 9110 section 9.3.2")]
    return [_finding("head", "good", "HEAD answers as GET does")]


def _finding(code: str, level: Level, message: str, source: str = "") -> Finding:
    return Finding("caching", code, level, message, source)
