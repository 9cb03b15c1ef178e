"""``tailrace-services prove``. Touches: terminal, files, servers.

Exit codes: 0 all answers equal; 1 an answer differed, or it could not be done; 2 wrong usage. Whether the times reached
what is aimed for is shown and does not decide: that depends on the machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tailrace_services.prove.databases import Databases, prepare
from tailrace_services.prove.processes import clean_up_on_sigterm
from tailrace_services.prove.report import Proof, print_proof
from tailrace_services.prove.run import PHASES, Effort, prove, prove_growth
from tailrace_services.prove.subject import SERVICE
from tailrace_services.prove.timing import Budget
from tailrace_services.up.ground import Ground, ground

__all__ = ["app"]

TABLE_WIDTH = 104
"""Columns; in a narrower terminal lines wrap, and no figure is cut short."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Service(StrEnum):
    """What can be proved."""

    VOICE_DASHBOARD = SERVICE


class Scale(StrEnum):
    """How many calls: 100 thousand, 1 million, 10 million."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class Phase(StrEnum):
    """Parts of a proof."""

    ANSWERS = "answers"
    TIMING = "timing"
    THROUGHPUT = "throughput"
    MIX = "mix"
    WRITES = "writes"
    OUTAGE = "outage"
    CROWD = "crowd"


@app.command()
def command(
    service: Annotated[Service, typer.Option(help="The service.")] = Service.VOICE_DASHBOARD,
    scale: Annotated[Scale, typer.Option(help="100 thousand, 1 million or 10 million calls.")] = Scale.SMALL,
    imported: Annotated[
        Path | None, typer.Option(help="Prove it on the calls of this campaign file instead.", metavar="FILE")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the rows, an array of objects.", metavar="FILE")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write everything: rows, goals, samples, differences.", metavar="FILE")
    ] = None,
    only: Annotated[list[Phase] | None, typer.Option(help="Only this part; may be given again.")] = None,
    users: Annotated[int, typer.Option(min=2, help="Users whose answers are compared.")] = 300,
    cutoff: Annotated[float, typer.Option(min=1, help="Seconds after which a baseline request is given up.")] = 30.0,
    growth: Annotated[
        bool, typer.Option("--growth", help="Time a cold overview at small and at --scale only.")
    ] = False,
    soak: Annotated[float, typer.Option(min=0, help="Then this many seconds of soak, watching memory.")] = 0.0,
) -> None:
    """Measure baseline and optimised side by side on the same rows, and compare their answers."""
    del service  # there is one so far; the option names it in scripts
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    clean_up_on_sigterm()
    effort = Effort(users=users, budget=dataclasses.replace(Budget(), cutoff=cutoff))
    phases = [phase.value for phase in only or ()] if only or soak else list(PHASES)

    async def run(servers: Ground, show: _Show) -> Proof:
        async def databases(name: str) -> Databases:
            return await prepare(servers.database_url, show.counted, scale=name, imported=imported)

        if growth:
            return await prove_growth(
                await databases("small"), await databases(scale.value), servers.valkey_url, show.shared
            )
        ready = await databases(scale.value)
        name = "imported" if imported else scale.value
        return await prove(
            ready, servers.valkey_url, scale=name, only=phases, effort=effort, soak_seconds=soak, told=show.shared
        )

    with ground(join=True) as servers, _progress(console) as show:
        proof = uvloop.run(run(servers, show))
    print_proof(console, proof)
    for file, text in ((json_file, proof.json_rows()), (report, proof.json_whole())):
        if file is not None:
            file.write_text(text, encoding="utf-8")
    if not proof.equal:
        raise typer.Exit(1)


class _Show:
    """Progress bars, one for each phase that has been heard of."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def counted(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total``."""
        self.shared(phase, done / total if total else 1.0)

    def shared(self, phase: str, share: float) -> None:
        """A share from 0 to 1."""
        if phase not in self._bars:
            self._bars[phase] = self._progress.add_task(phase, total=1.0)
        self._progress.update(self._bars[phase], completed=share)


@contextmanager
def _progress(console: Console) -> Iterator[_Show]:
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Show(progress)
