"""How many jobs wait, and are dead. Touches: the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, String, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.db import Database
from tailrace.jobs.queue import SCHEMA

__all__ = ["WaitingJobs", "count_waiting", "queue_state"]

_WAITING = text(f"""
    SELECT entrypoint,
           count(*) FILTER (WHERE status = 'queued' AND execute_after <= now()),
           coalesce(extract(epoch FROM now() - min(execute_after)
                    FILTER (WHERE status = 'queued' AND execute_after <= now())), 0)::float8,
           count(*) FILTER (WHERE status = 'failed')
    FROM {SCHEMA}.pgqueuer WHERE entrypoint = ANY(:names) OR :names IS NULL GROUP BY entrypoint
""").bindparams(bindparam("names", type_=ARRAY(String)))  # noqa: S608
_INSTALLED = text(f"SELECT to_regclass('{SCHEMA}.pgqueuer') IS NOT NULL")


@dataclass(frozen=True, slots=True)
class WaitingJobs:
    """The jobs of one name: how many are due and not begun, for how many seconds the oldest is, how many are dead."""

    name: str
    waiting: int = 0
    oldest: float = 0.0
    dead: int = 0


async def count_waiting(connection: AsyncConnection, names: Sequence[str] | None) -> list[WaitingJobs]:
    """Those of each name, in the names' order; None: of every name that is in the queue. One round trip.

    Raises:
        SQLAlchemy's errors and the driver's.
    """
    rows = (await connection.execute(_WAITING, {"names": None if names is None else list(names)})).all()
    counted = {row[0]: WaitingJobs(*row) for row in rows}
    return [counted.get(name, WaitingJobs(name)) for name in (counted if names is None else names)]


async def queue_state(database: Database) -> list[WaitingJobs] | None:
    """All that is in a database's queue, whoever declared it; None where there is no queue.

    Raises:
        DatabaseError: it cannot be read.
    """

    async def look(connection: AsyncConnection) -> list[WaitingJobs] | None:
        installed = (await connection.execute(_INSTALLED)).scalar_one()
        return await count_waiting(connection, None) if installed else None

    return await database.read(look)
