"""The two databases of a proof: made once, kept between runs, put back when the last run wrote to one.

Touches: databases. They are the proof's own, beside those that ``up`` uses: one pair for each scale and one for
imported rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tailrace.errors import SettingsError
from tailrace_services.data.connection import open_connection
from tailrace_services.prove.subject import Subject
from tailrace_services.settings import database_name
from tailrace_services.up import service_databases
from tailrace_services.up.server_databases import connect_to_server, name_in, with_database
from tailrace_services.up.service_databases import Report

__all__ = ["Databases", "Size", "mark_written", "prepare"]

MARK = "written to by a proof"
SETTLED = """
SELECT coalesce(bool_and(coalesce(last_vacuum, last_autovacuum) IS NOT NULL), true)
FROM pg_stat_user_tables WHERE pg_relation_size(relid) > 0
"""
"""Whether every table with rows has been vacuumed since they came."""
MAY_CHECKPOINT = """
SELECT rolsuper OR coalesce(pg_has_role(to_regrole('pg_checkpoint'), 'USAGE'), false)
FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows there are of what a service is about.

    >>> str(Size(1000, "calls"))
    '1,000 calls'
    """

    count: int
    of: str

    def __str__(self) -> str:
        return f"{self.count:,} {self.of}"


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the rows are. ``now``: the moment at which every server's clock stands."""

    server_url: str
    url: str
    baseline_url: str
    now: datetime
    size: Size


async def prepare(
    subject: Subject,
    server_url: str,
    report: Report,
    *,
    scale: str,
    imported: Path | None = None,
    phases: Collection[str] = (),
) -> Databases:
    """Ready both databases: generated at ``scale``, or holding what is in the file ``imported``.

    Args:
        phases: what is to be proved, as far as it may want more of the rows.

    Raises:
        SettingsError: nothing can be imported for this service.
        RequestError: the file is not what it says.
        DatabaseError: the database refuses.
    """
    base = "tailrace_prove_imported" if imported else f"tailrace_prove_{scale}"
    url = with_database(server_url, base)
    await _put_back(subject, url, base, report)
    if imported:
        await _import(subject, url, base, imported, report)
    ready = await service_databases.prepare(subject.data, url, report, scale=None if imported else scale)
    if subject.completion is not None and not set(phases).isdisjoint(subject.completion.phases):
        if await subject.completion.run(ready.baseline_url, report):
            # A copy has it all at once, where one by one each row goes into every index.
            await _mark(url, subject)
            await _put_back(subject, url, base, report)
            ready = await service_databases.prepare(subject.data, url, report, scale=None if imported else scale)
        await subject.completion.run(ready.url, report)  # where an earlier run ended between the two
    table, _, column = subject.data.newest.partition(".")
    async with open_connection(ready.url) as connection:
        count = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - our tables
        newest = await connection.fetchval(f"SELECT max({column}) FROM {table}")  # noqa: S608 - our tables
    for each in (ready.url, ready.baseline_url):
        await _settle(each, report)
    now = ready.dataset.anchor if ready.dataset else newest
    return Databases(url, ready.url, ready.baseline_url, now.astimezone(UTC), Size(count, table))


async def mark_written(subject: Subject, databases: Databases) -> None:
    """From now on the optimised database differs from the baseline's; the next ``prepare`` copies it anew."""
    await _mark(databases.server_url, subject)


async def _mark(url: str, subject: Subject) -> None:
    name = database_name(name_in(url), subject.data.service)
    async with open_connection(with_database(url, name)) as connection:
        await connection.execute(f"COMMENT ON DATABASE {name} IS '{MARK}'")


async def _put_back(subject: Subject, url: str, base: str, report: Report) -> None:
    name, baseline = (database_name(base, subject.data.service, baseline=each) for each in (False, True))
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


async def _settle(url: str, report: Report) -> None:
    """Do what the server would do by itself after so much was loaded: in the middle of what is measured."""
    async with open_connection(url) as connection:
        if await connection.fetchval(SETTLED):
            return
        phase = f"vacuum {name_in(url)}"
        report(phase, 0, 1)
        await connection.execute("VACUUM (ANALYZE)")
        if await connection.fetchval(MAY_CHECKPOINT):
            await connection.execute("CHECKPOINT")
        report(phase, 1, 1)


async def _import(subject: Subject, url: str, base: str, file: Path, report: Report) -> None:
    """Import into a new database; the copy for the baseline is made of it before Tailrace's objects exist."""
    if subject.import_file is None:
        raise SettingsError(f"--imported: nothing is imported for {subject.name}; choose another --service")
    data = subject.data
    name = database_name(base, data.service)
    async with connect_to_server(url) as server:
        if await server.exists(name):
            optimised = with_database(url, name)
            async with open_connection(optimised) as connection:
                known = await connection.fetchval(f"SELECT file_name FROM {data.imports}")  # noqa: S608 - our tables
            if known == file.name:
                return
            await server.drop(database_name(base, data.service, baseline=True))
            await server.drop(name)
        await server.create(name)
    await data.migrations.migrate(with_database(url, name))
    await subject.import_file(with_database(url, name), file, report)
