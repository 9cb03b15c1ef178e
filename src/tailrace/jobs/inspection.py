"""What is in the queue, for people. Touches: the database.

Arguments are data of the service's users, so nobody sees them who has not asked for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgqueuer.domain.models import Job as QueueRow
from pgqueuer.domain.types import JobId
from pgqueuer.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.db import Database
from tailrace.db.errors import translated
from tailrace.jobs.arguments import decode
from tailrace.jobs.drivers import ConnectionDriver
from tailrace.jobs.queue import make_queries

__all__ = ["DeadJob", "QueuedJob", "dead_jobs", "list_jobs", "requeue"]

STATES = {"queued": "waiting", "picked": "running", "failed": "dead"}


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that is not over.

    Attributes:
        state: waiting, running or dead.
        due: when it may begin.
        retries: how often it was put back so far.
        arguments: None unless they were asked for.
    """

    id: int
    name: str
    state: str
    enqueued: datetime
    due: datetime
    retries: int
    request_id: str | None
    arguments: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that failed for the last time, and with what."""

    job: QueuedJob
    died: datetime
    error: str
    traceback: str


async def list_jobs(
    database: Database, *, names: Sequence[str] = (), limit: int = 100, arguments: bool = False
) -> list[QueuedJob]:
    """Jobs that are not over, by priority and age.

    Raises:
        DatabaseError: one of its kinds.
    """

    async def read(connection: AsyncConnection) -> list[QueuedJob]:
        rows = await _queries(connection).browse_queue(limit, entrypoints=list(names) or None)
        return [_shown(row, arguments) for row in rows]

    return await database.read(read)


async def dead_jobs(database: Database, *, limit: int = 100, arguments: bool = False) -> list[DeadJob]:
    """Jobs that failed for the last time, the newest first.

    Raises:
        DatabaseError: one of its kinds.
    """

    async def read(connection: AsyncConnection) -> list[DeadJob]:
        queries = _queries(connection)
        return [await _obituary(queries, row, arguments) for row in await queries.list_failed_jobs(limit)]

    return await database.read(read)


async def requeue(database: Database, ids: Sequence[int] | None = None) -> list[int]:
    """Put dead jobs back, with all their attempts before them.

    Args:
        ids: which; those among them that are not dead are left alone. None: all.

    Returns:
        The ids of those that were put back.

    Raises:
        ConstraintError: one has a key that a job which waits or runs has taken meanwhile; none was put back.
        DatabaseError: another of its kinds.
    """
    with translated():
        async with database.engine.begin() as connection:
            queries = _queries(connection)
            dead = [row.id for row in await queries.list_failed_jobs(limit=1_000_000)]
            chosen = [number for number in dead if ids is None or number in ids]
            await queries.requeue_jobs(chosen)
            return [int(number) for number in chosen]


def _queries(connection: AsyncConnection) -> Queries:
    return make_queries(ConnectionDriver(connection))


def _shown(row: QueueRow, arguments: bool) -> QueuedJob:
    return QueuedJob(
        id=row.id,
        name=row.entrypoint,
        state=STATES.get(row.status, row.status),
        enqueued=row.created,
        due=row.execute_after,
        retries=row.attempts,
        request_id=str(row.headers["x-request-id"]) if row.headers and "x-request-id" in row.headers else None,
        arguments=decode(row.payload) if arguments else None,
    )


async def _obituary(queries: Queries, row: QueueRow, arguments: bool) -> DeadJob:
    last = [entry for entry in await queries.job_log_history(JobId(row.id), limit=1000) if entry.status == "failed"]
    found = last[-1].traceback if last else None
    return DeadJob(
        job=_shown(row, arguments),
        died=row.updated,
        error="" if found is None else f"{found.exception_type}: {found.exception_message}",
        traceback="" if found is None else found.traceback,
    )
