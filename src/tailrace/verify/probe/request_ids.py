"""Request ids: on every answer, taken over when safe, never an open door. Touches: the network.

**Source:** W3C Trace Context for what a safe id looks like; OWASP on log injection.
"""

from __future__ import annotations

from uuid import uuid4

from tailrace.verify.http1 import Response
from tailrace.verify.probe.finding import Finding, Level
from tailrace.verify.probe.target import Target

__all__ = ["check"]

NAMES = ("x-request-id", "x-correlation-id", "request-id", "x-trace-id")
HOSTILE = "<script>alert(1)</script>\t'; DROP TABLE--"
LONG = "a" * 4000


async def check(target: Target) -> list[Finding]:
    """Whether a report of trouble can be matched with the service's logs."""
    first, second = await target.ask(), await target.ask()
    name = next((name for name in NAMES if first.header(name)), None)
    if name is None:
        return [_finding("none", "short", "no request id: a report of trouble cannot be matched with the logs")]
    found = [_finding("present", "good", f"every answer carries {name}")]
    if first.header(name) == second.header(name):
        found.append(_finding("repeated", "short", f"two requests got the same {name}"))
    missing = await target.ask(f"{target.path.rstrip('/')}/{uuid4().hex}")
    if not missing.header(name):
        found.append(_finding("not-on-errors", "short", f"no {name} on a {missing.status}, where it is needed most"))
    found += await _taken_over(target, name)
    return found


async def _taken_over(target: Target, name: str) -> list[Finding]:
    wire = name.title().replace("-", "_")
    own = f"probe-{uuid4().hex}"
    found = []
    answer = await target.ask(**{wire: own})
    if answer.header(name) == own:
        found.append(_finding("taken-over", "good", "an id that a client sends is taken over"))
    else:
        found.append(_finding("not-taken-over", "note", "an id that a client sends is not taken over"))
    for what, value in (("markup", HOSTILE), ("4,000 characters", LONG)):
        reply = await target.try_asking(**{wire: value})
        if _echoes(reply, name, value):
            found.append(_finding("echoes", "short", f"{what} in the client's {name} come back, and reach the logs"))
        elif reply is not None and reply.status >= 500:
            found.append(_finding("breaks", "short", f"{what} in the client's {name} answer {reply.status}"))
    return found


def _echoes(reply: Response | None, name: str, value: str) -> bool:
    return reply is not None and reply.header(name) == value.strip()


def _finding(code: str, level: Level, message: str) -> Finding:
    return Finding("ids", code, level, message)
