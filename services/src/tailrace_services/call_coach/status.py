"""What a database of the service holds. Touches: the database, reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tailrace_services.data.connection import open_connection

__all__ = ["DatabaseStatus", "database_status"]

_COUNTS = """
SELECT current_database() AS database, (SELECT count(*) FROM reps) AS reps, (SELECT count(*) FROM calls) AS calls,
       (SELECT count(*) FROM transcripts) AS turns, (SELECT count(*) FROM opportunities) AS opportunities,
       (SELECT count(*) FROM emails) AS emails, (SELECT count(*) FROM coaching_sessions) AS sessions,
       (SELECT max(scheduled_at) FROM calls) AS last_call,
       (SELECT scale FROM dataset) AS scale, (SELECT seed FROM dataset) AS seed, (SELECT anchor FROM dataset) AS anchor,
       (SELECT count(*) FROM transcript_imports) AS imports
"""


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """Exact counts. ``scale``, ``seed`` and ``anchor`` are None if nothing was generated."""

    database: str
    reps: int
    calls: int
    turns: int
    opportunities: int
    emails: int
    sessions: int
    last_call: datetime | None
    scale: str | None
    seed: int | None
    anchor: datetime | None
    imports: int

    def lines(self) -> list[str]:
        """The same for people."""
        made = f"{self.scale}, seed {self.seed}, ending {self.anchor:%Y-%m-%d %H:%M} UTC" if self.anchor else "nothing"
        newest = f", the last on {self.last_call:%Y-%m-%d %H:%M} UTC" if self.last_call else ""
        return [
            f"{self.database}: generated {made}; {self.imports} imported transcripts",
            f"  {self.calls:,} calls{newest}, {self.turns:,} turns, {self.reps:,} reps, "
            f"{self.opportunities:,} opportunities, {self.emails:,} emails, {self.sessions:,} coaching sessions",
        ]


async def database_status(url: str) -> DatabaseStatus:
    """Count what is there. Cost: a scan of each table.

    Raises:
        DatabaseUnavailableError: no connection.
        DatabaseError: the tables are not there.
    """
    async with open_connection(url) as connection:
        (row,) = await connection.fetch(_COUNTS)
        return DatabaseStatus(**dict(row))
