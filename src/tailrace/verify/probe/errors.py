"""Errors: the right status, a body that a program can read, and nothing of the inside. Touches: the network.

**Source:** RFC 9457 (problem details); RFC 9110 sections 15.5.6 (405, Allow) and 15.6.2; OWASP on error handling.
"""

from __future__ import annotations

import re
from uuid import uuid4

from tailrace.verify.http1 import Response
from tailrace.verify.probe.finding import Finding, Level
from tailrace.verify.probe.target import Target

__all__ = ["check"]

METHOD = "TRACE"
"""A method that changes nothing, that every HTTP parser knows, and that no API offers."""
_INSIDE = re.compile(
    rb"Traceback \(most recent|File \"[^\"]+\.py\"|sqlalchemy\.|psycopg|asyncpg\.|\bat [\w.$]+\([\w]+\.java:|"
    rb"\bSELECT\s.{1,200}\sFROM\s|node_modules/|SQLSTATE",
    re.DOTALL,
)
"""Signs of stack traces and statements."""
ODD_PATHS = (
    ("%00", "a NUL"),
    ("%ff%fe", "bytes that are no UTF-8"),
    ("%2e%2e%2f%2e%2e%2fetc%2fpasswd", "climbing dots"),
)


async def check(target: Target) -> list[Finding]:
    """What goes wrong visibly when a client goes wrong."""
    base = target.path.rstrip("/")
    found = _missing(await target.ask(f"{base}/{uuid4().hex}"))
    found += _method(await target.try_asking(method=METHOD))
    for odd, what in ODD_PATHS:
        answer = await target.try_asking(f"{base}/{odd}")
        found += _sound(answer, f"a path with {what}", "odd-path")
    found += _sound(await target.try_asking(X_Probe="a" * 20_000), "a header of 20,000 characters", "long-header")
    return found


def _missing(answer: Response) -> list[Finding]:
    if answer.status in (401, 403):
        return [_finding("closed", "note", f"what does not exist answers {answer.status}: authentication comes first")]
    if answer.status != 404:
        level: Level = "short" if answer.status == 200 or answer.status >= 500 else "note"
        return [_finding("missing", level, f"what does not exist answers {answer.status}, not 404", "RFC 9110 15.5.5")]
    kind = (answer.header("content-type") or "").partition(";")[0]
    found = _inside(answer, "a 404")
    if kind == "application/problem+json":
        found.append(_finding("problem", "good", "errors are problem details", "RFC 9457"))
    elif kind.endswith("json"):
        found.append(_finding("json", "good", "errors are JSON, in a shape of the service's own"))
    else:
        text = f"errors are {kind or 'bodies without a type'}, which no program can read, although JSON was asked for"
        found.append(_finding("unreadable", "short", text, "RFC 9457"))
    return found


def _method(answer: Response | None) -> list[Finding]:
    if answer is None:
        return []
    if answer.status == 405 and answer.header("allow") is None:
        return [_finding("allow-missing", "short", "405 without Allow", "RFC 9110 section 15.5.6")]
    if answer.status == 200:
        text = f"answers 200 to {METHOD}: either it reflects what it is sent, or every method is taken for GET"
        return [_finding("any-method", "short", text, "RFC 9110 section 9.3.8")]
    return _sound(answer, f"the method {METHOD}", "method")


def _sound(answer: Response | None, what: str, code: str) -> list[Finding]:
    if answer is None:
        return []
    found = _inside(answer, what)
    if answer.status >= 500 and answer.status != 501:
        found.append(
            _finding(code, "short", f"{what} answers {answer.status}: a client's mistake counts as the service's")
        )
    return found


def _inside(answer: Response, what: str) -> list[Finding]:
    if _INSIDE.search(answer.body):
        return [_finding("inside-shown", "short", f"{what} shows the inside of the service (a trace or a statement)")]
    return []


def _finding(code: str, level: Level, message: str, source: str = "") -> Finding:
    return Finding("errors", code, level, message, source)
