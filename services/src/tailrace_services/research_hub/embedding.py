"""``tailrace-services research-hub embed``: vectors of the posts. Touches: terminal, databases, the processor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import typer

from tailrace.db import Database
from tailrace.semantic import Embedder, EmbeddingProgress, embed_waiting
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
from tailrace_services.research_hub.data import DATA
from tailrace_services.research_hub.optimised.research import SEARCH

__all__ = ["add_embed"]


def add_embed(app: typer.Typer) -> None:
    """Add the command ``embed``."""

    @app.command("embed")
    def embed_command(
        database: DatabaseUrl = None,
        baseline: BaselineUrl = None,
        output: OutputFormat = Format.TEXT,
    ) -> None:
        """Give vectors to posts that have none, so that they are found by meaning; can be stopped and run again."""

        async def run() -> list[dict[str, object]]:
            embedder = Embedder()
            try:
                urls = await databases(DATA.service, database, baseline)
                with progress_bars("embed") as advance:
                    return [await _embed(url, embedder, advance) for url in urls]
            finally:
                await embedder.aclose()

        rows = asyncio.run(run())
        show(output, rows, [f"{row['database']}: {row['embedded']:,} posts embedded" for row in rows])


async def _embed(url: str, embedder: Embedder, advance: Callable[[str, int, int], None]) -> dict[str, object]:
    label, opened = database_label(url), Database(url)

    def told(step: EmbeddingProgress) -> None:
        advance(label, step.done, step.done + step.waiting)

    try:
        return {"database": label, "embedded": await embed_waiting(opened, SEARCH, embedder, progress=told)}
    finally:
        await opened.aclose()
