"""``tailrace-services prove``. Touches: terminal, files, servers.

Exit codes: 0 all answers equal; 1 an answer differed, or it could not be done; 2 wrong usage. Whether the times reached
what is aimed for is shown and does not decide: that depends on the machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tailrace_services.data.scale_name import ScaleName
from tailrace_services.prove.databases import Databases, prepare
from tailrace_services.prove.phases import Effort
from tailrace_services.prove.processes import clean_up_on_sigterm
from tailrace_services.prove.report import Proof, json_rows, json_whole, print_proof
from tailrace_services.prove.run import phases, prove, prove_growth
from tailrace_services.prove.subject import Subject
from tailrace_services.prove.timing import Budget
from tailrace_services.services import SERVICES
from tailrace_services.up.ground import Ground, ground

__all__ = ["app"]

TABLE_WIDTH = 104
"""Columns; in a narrower terminal lines wrap, and no figure is cut short."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


ServiceName = StrEnum("ServiceName", [(service.name, service.name) for service in SERVICES])  # type: ignore[misc]
"""What can be proved."""


class Phase(StrEnum):
    """Parts of a proof."""

    ANSWERS = "answers"
    SIZES = "sizes"
    TIMING = "timing"
    THROUGHPUT = "throughput"
    MIX = "mix"
    WRITES = "writes"
    OUTAGE = "outage"
    POSTING = "posting"
    COLLECTING = "collecting"
    QUESTIONS = "questions"
    CROWD = "crowd"


@app.command()
def command(
    service: Annotated[ServiceName | None, typer.Option(help="Only this one; by default all.")] = None,
    scale: Annotated[ScaleName, typer.Option(help="How much there is.")] = ScaleName.SMALL,
    imported: Annotated[
        Path | None,
        typer.Option(help="Prove it on the rows of this file instead.", metavar="FILE"),
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
        bool, typer.Option("--growth", help="Time what grows with the rows, cold, at small and at --scale only.")
    ] = False,
    soak: Annotated[float, typer.Option(min=0, help="Then this many seconds of soak, watching memory.")] = 0.0,
) -> None:
    """Measure baseline and optimised side by side on the same rows, and compare their answers."""
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    clean_up_on_sigterm()
    effort = Effort(users=users, budget=dataclasses.replace(Budget(), cutoff=cutoff))
    chosen = [phase.value for phase in only or ()] if only or soak else None
    asked = _Asked(scale.value, imported, chosen, effort, growth, soak)
    subjects = [each.subject() for each in SERVICES if service in (None, each.name)]
    if imported and service is None:
        subjects = [subject for subject in subjects if subject.import_file is not None]
    proofs = []
    with ground(join=True) as servers:
        for subject in subjects:
            with _progress(console, subject.data.title) as show:
                proofs.append(uvloop.run(_prove(subject, asked, servers, show)))
            print_proof(console, proofs[-1])
    for file, text in ((json_file, json_rows(proofs)), (report, json_whole(proofs))):
        if file is not None:
            file.write_text(text, encoding="utf-8")
    if not all(proof.equal for proof in proofs):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line asks for."""

    scale: str
    imported: Path | None
    phases: list[str] | None
    effort: Effort
    growth: bool
    soak: float


async def _prove(subject: Subject, asked: _Asked, servers: Ground, show: _Show) -> Proof:
    chosen = () if asked.growth else phases(subject) if asked.phases is None else asked.phases

    async def databases(scale: str) -> Databases:
        return await prepare(
            subject, servers.database_url, show.counted, scale=scale, imported=asked.imported, phases=chosen
        )

    if asked.growth:
        fewer, more = await databases("small"), await databases(asked.scale)
        return await prove_growth(subject, fewer, more, servers.valkey_url, show.shared)
    return await prove(
        subject,
        await databases(asked.scale),
        servers.valkey_url,
        scale="imported" if asked.imported else asked.scale,
        only=asked.phases,
        effort=asked.effort,
        soak_seconds=asked.soak,
        told=show.shared,
    )


class _Show:
    """Progress bars, one for each phase that has been heard of."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self._bars: dict[str, TaskID] = {}

    def counted(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total``."""
        self.shared(phase, done / total if total else 1.0)

    def shared(self, phase: str, share: float) -> None:
        """A share from 0 to 1."""
        if phase not in self._bars:
            self._bars[phase] = self._progress.add_task(f"{self._title}: {phase}", total=1.0)
        self._progress.update(self._bars[phase], completed=share)


@contextmanager
def _progress(console: Console, title: str) -> Iterator[_Show]:
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Show(progress, title)
