"""The two databases of a proof: made once, kept between runs, put back when the last run wrote to one.

Touches: databases. They are the proof's own, beside those that ``up`` uses: one pair for each scale and one for
imported calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tailrace_services.data.connection import open_connection
from tailrace_services.settings import database_name
from tailrace_services.up.server_databases import connect_to_server, with_database
from tailrace_services.up.service_databases import prepare as prepare_databases
from tailrace_services.voice_dashboard.data import DATA
from tailrace_services.voice_dashboard.importer import import_campaign
from tailrace_services.voice_dashboard.migrations import migrate

__all__ = ["Databases", "mark_written", "prepare"]

SERVICE = "voice_dashboard"
MARK = "written to by a proof"

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the rows are. ``now``: the moment at which every server's clock stands."""

    server_url: str
    url: str
    baseline_url: str
    now: datetime
    calls: int


async def prepare(server_url: str, report: Report, *, scale: str, imported: Path | None = None) -> Databases:
    """Ready both databases: generated at ``scale``, or holding the campaign in the file ``imported``.

    Raises:
        CampaignFileError: the file is not a campaign.
        DatabaseError: the database refuses.
    """
    base = "tailrace_prove_imported" if imported else f"tailrace_prove_{scale}"
    url = with_database(server_url, base)
    await _put_back(url, base, report)
    if imported:
        await _import(url, base, imported, report)
    ready = await prepare_databases(DATA, url, report, scale=None if imported else scale)
    async with open_connection(ready.url) as connection:
        calls = await connection.fetchval("SELECT count(*) FROM calls")
        last = await connection.fetchval("SELECT max(created_at) FROM calls")
    now = ready.dataset.anchor if ready.dataset else last
    return Databases(url, ready.url, ready.baseline_url, now.astimezone(UTC), calls)


async def mark_written(databases: Databases) -> None:
    """From now on the optimised database differs from the baseline's; the next ``prepare`` copies it anew."""
    name = database_name(_base(databases.server_url), SERVICE)
    async with open_connection(databases.url) as connection:
        await connection.execute(f"COMMENT ON DATABASE {name} IS '{MARK}'")


async def _put_back(url: str, base: str, report: Report) -> None:
    name, baseline = database_name(base, SERVICE), database_name(base, SERVICE, baseline=True)
    async with connect_to_server(url) as server:
        if not await server.exists(name) or not await server.exists(baseline):
            return
        optimised = with_database(url, name)
        async with open_connection(optimised) as connection:
            mark = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
            if await connection.fetchval(mark, name) != MARK:
                return
        report("put back what the last run wrote", 0, 1)
        await server.drop(name)
        await server.copy(baseline, name)
        report("put back what the last run wrote", 1, 1)


async def _import(url: str, base: str, file: Path, report: Report) -> None:
    """Import into a new database; the copy for the baseline is made of it before Tailrace's objects exist."""
    name = database_name(base, SERVICE)
    async with connect_to_server(url) as server:
        if await server.exists(name):
            optimised = with_database(url, name)
            async with open_connection(optimised) as connection:
                known = await connection.fetchval("SELECT file_name FROM campaign_imports")
            if known == file.name:
                return
            await server.drop(database_name(base, SERVICE, baseline=True))
            await server.drop(name)
        await server.create(name)
    await migrate(with_database(url, name))
    await import_campaign(with_database(url, name), file, progress=report)


def _base(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]
