"""``tailrace-services research-hub``: migrate, generate, status, reconcile, embed. Touches: terminal, databases.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage; 3 tokens do not add up.
"""

from __future__ import annotations

import asyncio
import dataclasses

import typer

from tailrace_services.data.command_line import (
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    database_label,
    databases,
    show,
)
from tailrace_services.data.commands import data_commands
from tailrace_services.research_hub.data import DATA
from tailrace_services.research_hub.embedding import add_embed
from tailrace_services.research_hub.tokens.reconciliation import Reconciliation, reconcile

__all__ = ["app"]

DISAGREES = 3

app = data_commands(DATA)
add_embed(app)


@app.command("reconcile")
def reconcile_command(
    database: DatabaseUrl = None, baseline: BaselineUrl = None, output: OutputFormat = Format.TEXT
) -> None:
    """Say whether the tokens add up: the ledger in itself, and the balances that are kept of it."""

    async def run() -> dict[str, Reconciliation]:
        urls = await databases(DATA.service, database, baseline)
        return {database_label(url): await reconcile(url) for url in urls}

    found = asyncio.run(run())
    rows = [{"database": name, "agrees": each.agrees, **dataclasses.asdict(each)} for name, each in found.items()]
    show(output, rows, [f"{name}: {line}" for name, each in found.items() for line in each.lines()])
    if not all(each.agrees for each in found.values()):
        raise typer.Exit(DISAGREES)
