"""The commands that every service has for its data: migrate, generate, status. Touches: terminal, databases."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Annotated

import typer

from tailrace_services.data.command_line import (
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    database_label,
    databases,
    progress_bars,
    show,
)
from tailrace_services.data.generation import GeneratedDataset
from tailrace_services.data.scale_name import ScaleName
from tailrace_services.data.service import ServiceData
from tailrace_services.data.status import DatabaseStatus, database_status
from tailrace_services.settings import load_services_settings

__all__ = ["data_commands"]


def data_commands(data: ServiceData) -> typer.Typer:
    """The commands of a service, to which it adds its own."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback(help=f"Data of the {data.title}: migrate, generate, look, import.")(lambda: None)
    _add_migrate(app, data)
    _add_generate(app, data)
    _add_status(app, data)
    return app


def _add_migrate(app: typer.Typer, data: ServiceData) -> None:
    @app.command()
    def migrate(
        database: DatabaseUrl = None,
        baseline: BaselineUrl = None,
        output: OutputFormat = Format.TEXT,
    ) -> None:
        """Bring the tables to the newest revision; does nothing when they are there."""

        async def run() -> list[dict[str, str]]:
            urls = await databases(data.service, database, baseline)
            return [{"database": database_label(url), "revision": await data.migrations.migrate(url)} for url in urls]

        rows = asyncio.run(run())
        show(output, rows, [f"{row['database']}: at revision {row['revision']}" for row in rows])


def _add_generate(app: typer.Typer, data: ServiceData) -> None:
    scales = "; ".join(map(data.generation.described, data.generation.scales.values()))
    summary = "Fill the migrated database; the same seed, scale and anchor give the same rows."

    @app.command(help=f"{summary} Scales: {scales}.", short_help=summary)
    def generate(
        scale: Annotated[ScaleName, typer.Option(help="How much.")] = ScaleName.SMALL,
        seed: Annotated[
            int | None, typer.Option(min=0, help="What the rows are made from; TAILRACE_SERVICES_SEED.")
        ] = None,
        anchor: Annotated[
            datetime | None, typer.Option(help="UTC moment the year of rows ends at; by default the current hour.")
        ] = None,
        replace: Annotated[
            bool, typer.Option("--replace", help="Remove the rows that are there, imported ones too.")
        ] = False,
        database: DatabaseUrl = None,
        baseline: BaselineUrl = None,
        output: OutputFormat = Format.TEXT,
    ) -> None:
        chosen_seed = load_services_settings().seed if seed is None else seed
        chosen_scale = data.generation.scales[scale]

        async def run() -> list[GeneratedDataset]:
            loaded: list[GeneratedDataset] = []
            for url in await databases(data.service, database, baseline):
                await data.migrations.migrate(url)
                # The second database gets the anchor of the first, so that both have the same rows.
                end = loaded[0].anchor if loaded else anchor and anchor.replace(tzinfo=anchor.tzinfo or UTC)
                with progress_bars(database_label(url)) as progress:
                    made = await data.generation.generate(
                        url, chosen_scale, chosen_seed, end, progress, replace=replace
                    )
                loaded.append(made)
            return loaded

        rows = asyncio.run(run())
        lines = [f"{'loaded' if row.created else 'already loaded'} {row}" for row in rows]
        show(output, [dataclasses.asdict(row) for row in rows], lines)


def _add_status(app: typer.Typer, data: ServiceData) -> None:
    @app.command()
    def status(
        database: DatabaseUrl = None,
        baseline: BaselineUrl = None,
        output: OutputFormat = Format.TEXT,
    ) -> None:
        """Say what is loaded."""

        async def run() -> list[DatabaseStatus]:
            return [await database_status(data, url) for url in await databases(data.service, database, baseline)]

        found = asyncio.run(run())
        show(output, [each.row() for each in found], [line for each in found for line in each.lines()])
