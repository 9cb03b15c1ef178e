"""Limits: announced, counted down, and refusals that say when to come again. Touches: the network.

**Source:** the IETF draft "RateLimit header fields for HTTP"; RFC 6585 section 4 (429); RFC 9110 section 10.2.3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tailrace.verify.http1 import Response
from tailrace.verify.probe.finding import Finding, Level
from tailrace.verify.probe.target import Target

__all__ = ["check"]

ANNOUNCED = ("ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
_NUMBER = re.compile(r"\d{1,15}")
_REMAINING = re.compile(r";\s*r=(\d{1,15})")


async def check(target: Target, burst: int = 0) -> list[Finding]:
    """What the service says of its limits; with ``burst``, what it does when that many requests come at once."""
    first, second = await target.ask(), await target.ask()
    names = [name for name in ANNOUNCED if first.header(name)]
    found: list[Finding] = []
    if names:
        found.append(_finding("announced", "good", f"limits are announced: {', '.join(names)}"))
        found += _counted(first, second)
    if burst:
        found += _refusals(await target.burst(burst))
    elif not names:
        found.append(_finding("none", "note", "no limit is announced (--burst N tells whether there is one)"))
    return found


def _counted(first: Response, second: Response) -> list[Finding]:
    for name in ("x-ratelimit-limit", "x-ratelimit-remaining"):
        value = first.header(name)
        if value is not None and not _NUMBER.fullmatch(value):
            return [_finding("malformed", "short", f"{name} is no number")]
    before, after = _remaining(first), _remaining(second)
    if before is not None and after is not None and after > before:
        return [
            _finding("counts-up", "note", "more is left after a request than before it: another process counts alone")
        ]
    return []


def _remaining(answer: Response) -> int | None:
    plain = answer.header("x-ratelimit-remaining")
    if plain is not None and _NUMBER.fullmatch(plain):
        return int(plain)
    found = _REMAINING.search(answer.header("ratelimit") or "")
    return None if found is None else int(found.group(1))


def _refusals(answers: Sequence[Response]) -> list[Finding]:
    refused = [answer for answer in answers if answer.status in (429, 503)]
    broken = [answer for answer in answers if answer.status >= 500 and answer.status != 503]
    found = []
    if broken:
        found.append(_finding("breaks", "short", f"{len(broken)} of {len(answers)} requests at once failed"))
    if not refused:
        found.append(_finding("unlimited", "note", f"{len(answers)} requests at once, and none was refused"))
        return found
    if any(answer.header("retry-after") is None for answer in refused):
        text = "a refusal does not say when to come again (Retry-After)"
        return [*found, _finding("retry-after-missing", "short", text, "RFC 9110 section 10.2.3")]
    return [*found, _finding("refuses", "good", f"{len(refused)} of {len(answers)} were refused, with Retry-After")]


def _finding(code: str, level: Level, message: str, source: str = "") -> Finding:
    return Finding("limits", code, level, message, source)
