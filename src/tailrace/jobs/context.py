"""What a job is told when it runs. A value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tailrace.db import Database

__all__ = ["JobContext"]


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a running job knows of itself.

    Attributes:
        id: of this job in the queue; the same at each attempt, so it serves as an idempotency key.
        name: the job's.
        attempt: 1 for the first.
        database: the service's.
        request_id: of the request that enqueued it; None where none did.
        tick: the moment at which a scheduled job was due, UTC; None for others.
    """

    id: int
    name: str
    attempt: int
    database: Database
    request_id: str | None = None
    tick: datetime | None = None
