"""What a service's database holds. Touches: the database, reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailrace_services.data.connection import open_connection
from tailrace_services.data.generation import GeneratedDataset
from tailrace_services.data.service import ServiceData

__all__ = ["DatabaseStatus", "database_status"]


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """Exact counts. ``generated`` is None if nothing was."""

    database: str
    counts: dict[str, int]
    newest: datetime | None
    imports: int
    generated: GeneratedDataset | None

    def row(self) -> dict[str, Any]:
        """The same for programs, flat."""
        made = self.generated
        return {
            "database": self.database,
            **self.counts,
            "newest": self.newest,
            "scale": made and made.scale,
            "seed": made and made.seed,
            "anchor": made and made.anchor,
            "imports": self.imports,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        newest = f"; the last of {self.newest:%Y-%m-%d %H:%M} UTC" if self.newest else ""
        return [
            f"{self.database}: generated {self.generated or 'nothing'}; {self.imports} imports",
            "  " + ", ".join(f"{count:,} {name}" for name, count in self.counts.items()) + newest,
        ]


async def database_status(data: ServiceData, url: str) -> DatabaseStatus:
    """Count what is there. Cost: a scan of each table.

    Raises:
        DatabaseUnavailableError: no connection.
        DatabaseError: the tables are not there.
    """
    table, _, column = data.newest.partition(".")
    async with open_connection(url) as connection:
        return DatabaseStatus(
            await connection.fetchval("SELECT current_database()"),
            {
                name: await connection.fetchval(f"SELECT count(*) FROM {counted}")  # noqa: S608 - our tables
                for name, counted in data.counted.items()
            },
            await connection.fetchval(f"SELECT max({column}) FROM {table}"),  # noqa: S608 - our tables
            await connection.fetchval(f"SELECT count(*) FROM {data.imports}"),  # noqa: S608 - our tables
            await data.generation.loaded(url),
        )
