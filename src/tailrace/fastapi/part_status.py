"""How the library's own parts are. Touches: the parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tailrace.db import Database
    from tailrace.fastapi.integration import Tailrace

__all__ = ["Check", "PartStatus", "library_parts"]

JOBS_LATE = 300.0
"""Seconds for which a job that is due may wait, before something is wrong with those who should do it."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How a part is.

    Args:
        state: ``up``; ``degraded`` where it works, and something is to be done; ``down`` where it does not work.
        detail: for operators.
    """

    state: Literal["up", "degraded", "down"]
    detail: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[], Awaitable[PartStatus | None]]
"""Says how a part is, None where there is none after all; whatever it raises, the part is down."""


def library_parts(tailrace: Tailrace) -> dict[str, Check]:
    """What to ask of the parts that there are, by name."""
    parts: dict[str, Check] = {"store": lambda: _store(tailrace), "streams": lambda: _streams(tailrace)}
    database = tailrace.database
    if database is not None:
        parts["database"] = lambda: _database(tailrace, database)
        parts["pool"] = lambda: _pool(database)
        if find_spec("pgqueuer") is not None:
            parts["jobs"] = lambda: _jobs(database)
        if database.replicas is not None:
            parts["replicas"] = lambda: _replicas(database)
    if tailrace.freshness is not None:
        parts["relay"] = lambda: _relay(tailrace)
    return parts


async def _database(tailrace: Tailrace, database: Database) -> PartStatus:
    if database.pool_state().full:
        return PartStatus("degraded", {"problem": "not asked, as the pool is full"})
    began = tailrace.clock.monotonic()
    await database.ping()
    return PartStatus("up", {"latency_ms": round((tailrace.clock.monotonic() - began) * 1000, 3)})


async def _pool(database: Database) -> PartStatus:
    state = database.pool_state()
    detail = {"in_use": state.in_use, "limit": state.limit, "waiting": state.waiting}
    return PartStatus("degraded" if state.full else "up", detail)


async def _replicas(database: Database) -> PartStatus:
    assert database.replicas is not None
    problems = await database.replicas.problems()
    detail = {name: problem or "is read from" for name, problem in problems.items()}
    return PartStatus("degraded" if any(problems.values()) else "up", detail)


async def _jobs(database: Database) -> PartStatus | None:
    from tailrace.jobs import queue_state

    if database.pool_state().full:
        return PartStatus("degraded", {"problem": "not asked, as the pool is full"})
    queued = await queue_state(database)
    if queued is None:
        return None
    oldest = max((each.oldest for each in queued), default=0.0)
    dead = sum(each.dead for each in queued)
    detail = {"waiting": sum(each.waiting for each in queued), "oldest_seconds": round(oldest, 1), "dead": dead}
    return PartStatus("degraded" if dead or oldest > JOBS_LATE else "up", detail)


async def _store(tailrace: Tailrace) -> PartStatus:
    store = tailrace.store
    return PartStatus("down" if store.epoch is None else "up", {"kind": store.name, "shared": store.shared})


async def _relay(tailrace: Tailrace) -> PartStatus:
    assert tailrace.freshness is not None
    if tailrace.freshness.trusted():
        return PartStatus("up")
    return PartStatus("down", {"problem": tailrace.freshness.problem or "no pass has ended for too long"})


async def _streams(tailrace: Tailrace) -> PartStatus:
    await tailrace.streams.check()
    return PartStatus("up")
