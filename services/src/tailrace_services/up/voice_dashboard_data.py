"""The Voice Dashboard's two databases, made ready: tables, rows, the copy of how it was, Tailrace's objects.

Touches: the database. Everything is looked up in the database itself, so whatever was done is not done again, and what
an interrupted run left out is made up for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailrace.schema import Progress, apply
from tailrace_services.data.connection import open_connection
from tailrace_services.settings import database_name
from tailrace_services.up.server_databases import ServerDatabases, connect_to_server, name_in, with_database
from tailrace_services.voice_dashboard.generator import (
    SCALES,
    DatasetConflictError,
    GeneratedDataset,
    Scale,
    generate,
    loaded_dataset,
)
from tailrace_services.voice_dashboard.keys import DEFAULT_SEED
from tailrace_services.voice_dashboard.migrations import migrate
from tailrace_services.voice_dashboard.optimised.rollups import objects

__all__ = ["Report", "VoiceDashboardData", "prepare_voice_dashboard"]

SERVICE = "voice_dashboard"
DEFAULT_SCALE = "small"

Report = Callable[[str, int, int], None]
"""Called with a phase's name, how much of it is done and how much there is."""


@dataclass(frozen=True, slots=True)
class VoiceDashboardData:
    """What is ready. ``dataset`` is None where all rows were imported."""

    url: str
    baseline_url: str
    dataset: GeneratedDataset | None


@dataclass(frozen=True, slots=True)
class _Place:
    """The two databases on their server."""

    server: ServerDatabases
    name: str
    baseline_name: str
    url: str
    baseline_url: str


async def prepare_voice_dashboard(
    server_url: str,
    report: Report = lambda phase, done, total: None,
    *,
    scale: str | None = None,
    seed: int = DEFAULT_SEED,
    replace: bool = False,
    build: bool = True,
) -> VoiceDashboardData:
    """Ready both databases beside the one that ``server_url`` names; quick when they are ready already.

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
        base = name_in(server_url)
        names = database_name(base, SERVICE), database_name(base, SERVICE, baseline=True)
        place = _Place(server, *names, with_database(server_url, names[0]), with_database(server_url, names[1]))
        await _ensure_tables(place)
        dataset = await _ensure_rows(place, report, scale, seed, replace)
        await _ensure_baseline(place, report, dataset)
        if build:
            await _apply_objects(place.url, report)
        return VoiceDashboardData(place.url, place.baseline_url, dataset)


async def _ensure_tables(place: _Place) -> None:
    if not await place.server.exists(place.name):
        await place.server.create(place.name)
    await migrate(place.url)


async def _ensure_rows(
    place: _Place, report: Report, scale: str | None, seed: int, replace: bool
) -> GeneratedDataset | None:
    found = await loaded_dataset(place.url)
    imported = await _has_rows(place.url, "campaign_imports")
    if found is None and await _has_rows(place.url, "users") and scale is None and not replace:
        return None
    wanted = SCALES[scale or (found.scale if found and found.scale in SCALES else DEFAULT_SCALE)]
    if found is not None and (scale is None or (found.scale, found.seed) == (scale, seed)) and not replace:
        return found
    if imported and not replace:
        raise DatasetConflictError(
            f"the database {place.name} holds imported calls: pass --replace to remove them, or leave out --scale"
        )
    if found is not None or imported:
        # From the beginning, without Tailrace's objects: loading is quicker, and the copy is how it was.
        await place.server.drop(place.baseline_name)
        await place.server.drop(place.name)
        await _ensure_tables(place)
    return await generate(place.url, wanted, seed, progress=report)


async def _has_rows(url: str, table: str) -> bool:
    async with open_connection(url) as connection:
        return bool(await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"))  # noqa: S608 - ours


async def _ensure_baseline(place: _Place, report: Report, dataset: GeneratedDataset | None) -> None:
    """The same rows without anything of Tailrace's: a copy, or made anew from the seed when it is too late for one."""
    if await place.server.exists(place.baseline_name):
        await migrate(place.baseline_url)
        if await loaded_dataset(place.baseline_url) == dataset or dataset is None:
            return
        await place.server.drop(place.baseline_name)
    async with open_connection(place.url) as connection:
        untouched = await connection.fetchval("SELECT to_regnamespace('tailrace') IS NULL")
    report("copy for the baseline", 0, 1)
    if untouched or dataset is None:
        await place.server.copy(place.name, place.baseline_name)
    else:
        await place.server.create(place.baseline_name)
        await migrate(place.baseline_url)
        scale = Scale(dataset.scale, dataset.calls, dataset.users)
        await generate(place.baseline_url, scale, dataset.seed, dataset.anchor)
    report("copy for the baseline", 1, 1)


async def _apply_objects(url: str, report: Report) -> None:
    """Watches, rollups and indexes: what makes the optimised service what it is."""

    def tell(progress: Progress) -> None:
        report(f"{progress.phase} {progress.name}", progress.done, progress.total)

    await apply(url, objects(), progress=tell)
