"""Compression: offered, chosen by the client's weights, declared, and never breaking a validator. Touches: the network.

**Source:** RFC 9110 sections 12.4.2, 12.5.3, 12.5.5 and 8.8.3.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tailrace.verify.http1 import Response
from tailrace.verify.probe.finding import Finding, Level
from tailrace.verify.probe.target import Target

__all__ = ["check"]

WORTH_IT = 1000
"""Bytes from which a text that is not compressed falls short."""
TOO_SMALL = 200
"""Bytes below which compressing costs more than it saves."""
CODINGS: tuple[tuple[str, Level], ...] = (("gzip", "short"), ("br", "note"), ("zstd", "note"))
"""Codings asked for, and how their absence is to be taken: every client has gzip, most have the others."""
TEXT = ("text/", "application/json", "application/javascript", "application/xml", "image/svg+xml")
TEXT_SUFFIXES = ("+json", "+xml")


async def check(target: Target) -> list[Finding]:
    """What the service does with ``Accept-Encoding``."""
    plain = await target.ask(Accept_Encoding="identity")
    if plain.header("content-encoding"):
        return [
            _finding("identity-encoded", "short", "sends a coded body although only identity is accepted", "12.5.3")
        ]
    if not is_text(plain):
        return [_finding("no-text", "note", f"nothing to compress: {plain.header('content-type') or 'no media type'}")]
    if not plain.body:
        return [_finding("empty", "note", "nothing to compress: the body is empty")]
    found: list[Finding] = []
    coded: dict[str, Response] = {}
    for coding, missing in CODINGS:
        answer = await target.ask(Accept_Encoding=coding)
        if answer.header("content-encoding") == coding:
            coded[coding] = answer
            found.append(_saved(coding, plain, answer))
        elif len(plain.body) >= WORTH_IT:
            found.append(
                _finding(f"no-{coding}", missing, f"does not compress {len(plain.body):,} bytes with {coding}")
            )
    found += _declared(plain, coded)
    found += await _weights(target, coded)
    return found


def is_text(answer: Response) -> bool:
    """True for media types that compress well."""
    kind = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    return kind.startswith(TEXT) or kind.endswith(TEXT_SUFFIXES)


def _saved(coding: str, plain: Response, answer: Response) -> Finding:
    before, after = len(plain.body), len(answer.body)
    if after >= before:
        return _finding(f"{coding}-grows", "short", f"{coding} makes {before:,} bytes {after:,}")
    if before < TOO_SMALL:
        return _finding(f"{coding}-small", "note", f"compresses as little as {before} bytes with {coding}")
    if coding == "gzip" and not _inflates(answer.body):
        return _finding("gzip-broken", "short", "what is said to be gzip cannot be decoded", "8.4.1.3")
    return _finding(coding, "good", f"{coding}: {before:,} bytes become {after:,} ({1 - after / before:.0%} saved)")


def _inflates(body: bytes) -> bool:
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        decoder.decompress(body)
    except zlib.error:
        return False
    return decoder.eof


def _declared(plain: Response, coded: dict[str, Response]) -> Iterator[Finding]:
    if not coded:
        return
    silent = [name for name, answer in (*coded.items(), ("identity", plain)) if not _varies(answer)]
    if silent:
        text = f"no Vary: Accept-Encoding on {', '.join(silent)}: a cache may give one client another's coding"
        yield _finding("vary-missing", "short", text, "12.5.5")
    else:
        yield _finding("vary", "good", "Vary names Accept-Encoding")
    strong = plain.header("etag")
    for name, answer in coded.items():
        if strong and strong.startswith('"') and answer.header("etag") == strong:
            text = f"the same strong ETag for {name} and for identity, whose bytes differ"
            yield _finding("etag-shared", "short", text, "8.8.3.3")


def _varies(answer: Response) -> bool:
    names = ",".join(answer.headers("vary")).lower()
    return "accept-encoding" in names or names.strip() == "*"


async def _weights(target: Target, coded: dict[str, Response]) -> list[Finding]:
    found = []
    for coding in coded:
        answer = await target.ask(Accept_Encoding=f"{coding};q=0, identity")
        if answer.header("content-encoding") == coding:
            text = f"sends {coding} although the client refuses it ({coding};q=0)"
            found.append(_finding("q-zero-ignored", "short", text, "12.4.2"))
    if coded and not found:
        found.append(_finding("q-zero", "good", "what a client refuses with q=0 is not sent"))
    return found


def _finding(code: str, level: Level, message: str, section: str = "") -> Finding:
    return Finding("compression", code, level, message, f"RFC 9110 section {section}" if section else "")
