"""Whether two answers say the same, and where they do not. Pure.

Everything is compared but the fields that describe the moment of answering rather than the data: those are declared
here, in one place, and are nothing but when and whence an answer came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tailrace.verify.http1 import Response

__all__ = ["RUNTIME_FIELDS", "Difference", "cache_outcome", "compare_responses", "differences", "explain"]

RUNTIME_FIELDS = frozenset({"cacheInfo", "calculatedAt"})
"""When an answer was calculated and whether it came from a cache."""

MISSING = "(missing)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two answers differ. ``path`` as in ``kpis.totalLeads`` or ``agents[3].name``."""

    path: str
    expected: str
    got: str


def differences(expected: Any, got: Any, path: str = "") -> Iterator[Difference]:
    """Every place where ``got`` is not ``expected``, run-time fields left out. 1 and 1.0 are the same number.

    >>> [d.path for d in differences({"a": [1, 2], "calculatedAt": 1}, {"a": [1, 3], "calculatedAt": 2})]
    ['a[1]']
    """
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in [*expected, *(name for name in got if name not in expected)]:
            if name not in RUNTIME_FIELDS:
                below = f"{path}.{name}" if path else str(name)
                yield from differences(expected.get(name, MISSING), got.get(name, MISSING), below)
    elif isinstance(expected, list) and isinstance(got, list):
        for number in range(max(len(expected), len(got))):
            yield from differences(
                expected[number] if number < len(expected) else MISSING,
                got[number] if number < len(got) else MISSING,
                f"{path}[{number}]",
            )
    elif expected != got or isinstance(expected, bool) != isinstance(got, bool):
        yield Difference(path or "(body)", _shown(expected), _shown(got))


def compare_responses(expected: Response, got: Response) -> list[Difference]:
    """Where two responses differ: in status, in being JSON, or in any field."""
    if expected.status != got.status:
        return [Difference("(status)", _with_body(expected), _with_body(got))]
    try:
        return list(differences(expected.json() if expected.body else None, got.json() if got.body else None))
    except ValueError:
        same = expected.body == got.body
        return [] if same else [Difference("(body)", _with_body(expected), _with_body(got))]


def explain(found: list[Difference], most: int = 20) -> str:
    """The differences for people to read, one a line."""
    lines = [f"  {d.path}: expected {d.expected}, got {d.got}" for d in found[:most]]
    if len(found) > most:
        lines.append(f"  and {len(found) - most} more")
    return "\n".join(lines)


def cache_outcome(response: Response) -> str | None:
    """Whence an answer came: ``hit``, or why not (``uri-miss``, ``stale``, ``bypass``...); None if it does not say.

    ``collapsed`` is one that was not held yet, but under way for somebody else. ``Cache-Status`` says it, or the
    answer's own ``cacheInfo``, or ``Server-Timing``: a hit is what came from the cache without anything having been
    asked of the database or of another service.

    **Source:** RFC 9211 section 2; W3C Server Timing section 3.
    """
    value = response.header("cache-status")
    if value is None:
        # Searched for and not parsed: this is asked of every answer of a load test.
        _, found, rest = response.body.rpartition(b'"cacheInfo":{"status":"')
        if found:
            return rest[: rest.find(b'"')].decode("ascii", "replace")
        timing = response.header("server-timing")
        if timing is None:
            return None
        phases = {phase.partition(";")[0].strip() for phase in timing.split(",")}
        return "hit" if "cache" in phases and not phases & {"db", "upstream"} else "computed"
    parameters = [part.strip() for part in value.split(",")[-1].split(";")[1:]]
    for outcome in ("hit", "collapsed"):
        if outcome in parameters:
            return outcome
    forwarded = (part.partition("=")[2] for part in parameters if part.startswith("fwd="))
    return next(forwarded, "unknown")


def _shown(value: Any) -> str:
    text = value if value == MISSING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "..."


def _with_body(response: Response) -> str:
    return f"{response.status} {response.body[:200].decode('utf-8', 'replace')}"
