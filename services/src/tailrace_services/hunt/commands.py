"""``tailrace-services hunt``. Touches: terminal, processes in a folder of their own.

Exit codes: 0 no violation (with ``--self-check``: some, as there must be); 1 otherwise; 2 wrong usage.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace_services.hunt.faults import LONG, SHORT
from tailrace_services.hunt.report import HuntReport, print_report
from tailrace_services.hunt.run import Plan, Told, hunt
from tailrace_services.prove.processes import clean_up_on_sigterm
from tailrace_services.services import SERVICES

__all__ = ["app", "own_servers", "plan_of"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

HUNTED = {service.name: service for service in SERVICES if service.hunted}
SHORT_SECONDS = 16.0
WITHOUT_FRESHNESS = {"TAILRACE_FRESHNESS__ENABLED": "false"}
"""Breaks the protocol on purpose: answers live by their time to live alone."""


@app.command()
def command(
    seconds: Annotated[float, typer.Option(min=5, help="How long.")] = 60.0,
    short: Annotated[bool, typer.Option("--short", help=f"{SHORT_SECONDS:g} seconds and fewer faults.")] = False,
    calm: Annotated[bool, typer.Option("--calm", help="Break nothing.")] = False,
    self_check: Annotated[
        bool, typer.Option("--self-check", help="Switch freshness off: the hunt must find violations.")
    ] = False,
    service: Annotated[
        str, typer.Option(help=f"What is hunted: {', '.join(name for name in HUNTED)}.", metavar="NAME")
    ] = "voice-dashboard",
    seed: Annotated[int, typer.Option(help="What the actors' choices are made from.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.", metavar="FILE")] = None,
) -> None:
    """Hunt for stale answers: 3 servers, 16 writers, 64 readers, while parts are killed, paused and restarted."""
    if service not in HUNTED:
        raise typer.BadParameter(f"{service} is not hunted; {', '.join(HUNTED)} are", param_hint="--service")
    console = Console()
    clean_up_on_sigterm()
    plan = plan_of(SHORT_SECONDS if short else seconds, short=short, calm=calm, self_check=self_check, seed=seed)
    with own_servers() as (postgres, valkey), _progress(console) as told:
        report = uvloop.run(hunt(postgres, valkey, HUNTED[service].quarry(), plan, told))
    print_report(console, report)
    if json_file is not None:
        json_file.write_text(json.dumps(report.figures(), indent=2) + "\n", encoding="utf-8")
    if not _as_expected(report, self_check):
        raise typer.Exit(1)


def plan_of(seconds: float, *, short: bool, calm: bool, self_check: bool, seed: int) -> Plan:
    """What is done in ``seconds``."""
    faults = () if calm or self_check else SHORT if short else LONG
    return Plan(seconds=seconds, faults=faults, variables=WITHOUT_FRESHNESS if self_check else {}, seed=seed)


@contextmanager
def own_servers() -> Iterator[tuple[PostgresServer, ValkeyServer]]:
    """Servers nobody else uses, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-hunt-servers-"))
    folder.chmod(0o711)  # the database's own user must be able to get to its part
    try:
        with PostgresServer(folder / "postgres") as postgres, ValkeyServer(folder / "valkey") as valkey:
            yield postgres, valkey
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_expected(report: HuntReport, self_check: bool) -> bool:
    return bool(report.violations) if self_check else report.clean


@contextmanager
def _progress(console: Console) -> Iterator[Told]:
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars = {name: progress.add_task(name, total=1.0) for name in ("data", "hunt")}

        def told(what: str, share: float) -> None:
            name, _, fault = what.partition(": ")
            if fault:
                progress.update(bars[name], description=what)
            else:
                progress.update(bars[name], completed=share)

        yield told
