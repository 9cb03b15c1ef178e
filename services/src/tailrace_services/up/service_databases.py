"""A service's two databases, made ready: tables, rows, the copy of how it was, Tailrace's objects.

Touches: the database. Everything is looked up in the database itself, so whatever was done is not done again, and what
an interrupted run left out is made up for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from tailrace.jobs import install_tables
from tailrace.schema import Progress, apply
from tailrace_services.data.connection import open_connection
from tailrace_services.data.generation import DatasetConflictError, GeneratedDataset
from tailrace_services.data.service import ServiceData
from tailrace_services.settings import DEFAULT_SEED, database_name
from tailrace_services.up.server_databases import ServerDatabases, connect_to_server, name_in, with_database

__all__ = ["Report", "ServiceDatabases", "prepare"]

DEFAULT_SCALE = "small"

COUNTED = r"SELECT current_setting('shared_preload_libraries') ~ '\ypg_stat_statements\y'"
"""Whether the server counts statements: its extension is only a view of them."""

Report = Callable[[str, int, int], None]
"""Called with a phase's name, how much of it is done and how much there is."""


@dataclass(frozen=True, slots=True)
class ServiceDatabases:
    """What is ready. ``dataset`` is None where all rows were imported."""

    url: str
    baseline_url: str
    dataset: GeneratedDataset | None


async def prepare(
    data: ServiceData,
    server_url: str,
    report: Report = lambda phase, done, total: None,
    *,
    scale: str | None = None,
    seed: int = DEFAULT_SEED,
    replace: bool = False,
    build: bool = True,
) -> ServiceDatabases:
    """Ready both databases of a service beside the one that ``server_url`` names; quick when they are ready already.

    Args:
        server_url: the value of ``TAILRACE_DATABASE_URL``.
        report: told of progress.
        scale: one of ``small``, ``medium``, ``large``; None: what is there, else ``small``. Generated rows of another
            scale are replaced; imported ones only if ``replace``.
        seed: what generated rows are made from.
        build: False leaves out Tailrace's own objects, whose building takes the longest at the large scale.

    Raises:
        DatasetConflictError: imported rows are in the way.
        DatabaseUnavailableError, DatabaseError, SchemaError: the database cannot be reached, or refuses.
    """
    async with connect_to_server(server_url) as server:
        place = _Place(data, server, server_url, report)
        await place.ensure_tables()
        dataset = await place.ensure_rows(scale, seed, replace)
        await place.ensure_baseline(dataset)
        if build:
            await place.apply_objects()
            await place.show_statements()
        return ServiceDatabases(place.url, place.baseline_url, dataset)


class _Place:
    """The two databases on their server."""

    def __init__(self, data: ServiceData, server: ServerDatabases, server_url: str, report: Report) -> None:
        base = name_in(server_url)
        self._data = data
        self._server = server
        self._report = report
        self._name = database_name(base, data.service)
        self._baseline_name = database_name(base, data.service, baseline=True)
        self.url = with_database(server_url, self._name)
        self.baseline_url = with_database(server_url, self._baseline_name)

    async def ensure_tables(self) -> None:
        if not await self._server.exists(self._name):
            await self._server.create(self._name)
        await self._data.migrations.migrate(self.url)

    async def ensure_rows(self, scale: str | None, seed: int, replace: bool) -> GeneratedDataset | None:
        generation = self._data.generation
        found: GeneratedDataset | None = await generation.loaded(self.url)
        if found is None and scale is None and not replace and await generation.holds_rows(self.url):
            return None
        if found is not None and (scale is None or (found.scale, found.seed) == (scale, seed)) and not replace:
            return found
        imported = await self._holds_imports()
        if imported and not replace:
            raise DatasetConflictError(
                f"the database {self._name} holds imported rows: pass --replace to remove them, or leave out --scale"
            )
        if found is not None or imported:
            # From the beginning, without Tailrace's objects: loading is quicker, and the copy is how it was.
            await self._server.drop(self._baseline_name)
            await self._server.drop(self._name)
            await self.ensure_tables()
        known = found.scale if found and found.scale in generation.scales else DEFAULT_SCALE
        made: GeneratedDataset = await generation.generate(
            self.url, generation.scales[scale or known], seed, progress=self._report
        )
        return made

    async def _holds_imports(self) -> bool:
        async with open_connection(self.url) as connection:
            found = f"SELECT EXISTS (SELECT FROM {self._data.imports})"  # noqa: S608 - a table of ours
            return bool(await connection.fetchval(found))

    async def ensure_baseline(self, dataset: GeneratedDataset | None) -> None:
        """The same rows without anything of Tailrace's: a copy, or made anew from the seed when it is too late."""
        generation, migrate = self._data.generation, self._data.migrations.migrate
        if await self._server.exists(self._baseline_name):
            await migrate(self.baseline_url)
            if dataset is None or await generation.loaded(self.baseline_url) == dataset:
                return
            await self._server.drop(self._baseline_name)
        async with open_connection(self.url) as connection:
            untouched = await connection.fetchval("SELECT to_regnamespace('tailrace') IS NULL")
        self._report("copy for the baseline", 0, 1)
        if untouched or dataset is None:
            await self._server.copy(self._name, self._baseline_name)
        else:
            await self._server.create(self._baseline_name)
            await migrate(self.baseline_url)
            scale = generation.scale_of(dataset)
            await generation.generate(self.baseline_url, scale, dataset.seed, dataset.anchor)
        self._report("copy for the baseline", 1, 1)

    async def apply_objects(self) -> None:
        """Watches, rollups, indexes and the queue of jobs: what makes the optimised service what it is."""

        def tell(progress: Progress) -> None:
            self._report(f"{progress.phase} {progress.name}", progress.done, progress.total)

        await apply(self.url, self._data.objects(), progress=tell)
        await install_tables(self.url)

    async def show_statements(self) -> None:
        """Make the view of which statements are slow, where the server counts them."""
        async with open_connection(self.url) as connection:
            with suppress(asyncpg.InsufficientPrivilegeError):  # who runs the server knows why
                if await connection.fetchval(COUNTED):
                    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
