"""What the services' data commands share: their options, which databases they mean, progress and output.

Without ``--database-url`` the service's database on the server that ``TAILRACE_DATABASE_URL`` names is meant, and its
baseline's beside it if there is one, so that both keep the same rows.

Touches: the terminal, and the databases when it looks whether there is a baseline's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tailrace.errors import RequestError
from tailrace_services.data.connection import MissingDatabaseError, open_connection
from tailrace_services.data.csv_file import Rejection
from tailrace_services.data.importing import RowsRejectedError
from tailrace_services.settings import database_url

__all__ = [
    "REFUSED",
    "BaselineUrl",
    "DatabaseUrl",
    "Format",
    "OutputFormat",
    "database_label",
    "databases",
    "import_with_progress",
    "progress_bars",
    "refused_rows",
    "refusing",
    "rejection_lines",
    "show",
]

T = TypeVar("T")

REFUSED = 2
"""Exit code of a command that refused a file."""


class Format(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", help="The database; by default the service's own on the server of TAILRACE_DATABASE_URL."
    ),
]
BaselineUrl = Annotated[
    str | None,
    typer.Option(
        "--baseline-url", help="The baseline's database, kept the same; by default the one beside it, if any."
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="Text for people or JSON for programs.")]


Refusal = tuple[dict[str, Any], list[str]]
"""What of a file was refused and why: for programs, and as lines for people."""


async def databases(service: str, url: str | None, baseline: str | None) -> list[str]:
    """The database meant and, if there is one, the baseline's.

    Raises:
        SettingsError: nothing names a server.
        DatabaseUnavailableError: the server does not answer.
    """
    if url or baseline:
        return [url or database_url(service), *([baseline] if baseline else [])]
    twin = database_url(service, baseline=True)
    try:
        async with open_connection(twin):
            return [database_url(service), twin]
    except MissingDatabaseError:
        return [database_url(service)]


def database_label(url: str) -> str:
    """The database's name, for people.

    >>> database_label("postgresql://u:p@h/tailrace_call_coach?sslmode=require")
    'tailrace_call_coach'
    """
    return url.rpartition("/")[2].partition("?")[0]


@contextmanager
def progress_bars(title: str) -> Iterator[Any]:
    """A bar for each phase on standard error; on something that is not a terminal, nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(escape(f"{title}: {phase}"))
            bars.update(tasks[phase], completed=done, total=max(total, 1))

        yield advance


def import_with_progress(
    service: str,
    database: str | None,
    baseline: str | None,
    importing: Callable[[str, str | None, Any], Awaitable[T]],
) -> T:
    """Import into the databases that are meant, with a bar.

    Args:
        service: whose databases.
        database: its address, as from the command line.
        baseline: the baseline's, likewise.
        importing: given both addresses, the second None where there is no baseline's, and what is told the progress.
    """

    async def run() -> T:
        url, *twin = await databases(service, database, baseline)
        with progress_bars("import") as progress:
            return await importing(url, twin[0] if twin else None, progress)

    return asyncio.run(run())


def show(output: Format, value: Any, lines: list[str]) -> None:
    """Print ``value`` as JSON, or ``lines``."""
    if output is Format.JSON:
        print(json.dumps(value, indent=2, default=lambda moment: moment.isoformat()))
    else:
        print("\n".join(lines))


@contextmanager
def refusing(output: Format, told: Callable[[RequestError], Refusal]) -> Iterator[None]:
    """Tell why a file was refused, as ``told`` does, and exit with code 2."""
    try:
        yield
    except RequestError as error:
        found, lines = told(error)
        if output is Format.JSON:
            print(json.dumps({"error": {"code": error.code, "message": str(error)}, **found}, indent=2))
        else:
            print(*lines, sep="\n", end="\n" if lines else "")
        print(f"tailrace-services: {error}", file=sys.stderr)
        raise typer.Exit(REFUSED) from None


def refused_rows(error: RequestError) -> Refusal:
    """The rows for which a file was refused, if it was for any."""
    rejections = error.rejections if isinstance(error, RowsRejectedError) else ()
    return {"rejections": [dataclasses.asdict(each) for each in rejections]}, rejection_lines(rejections)


def rejection_lines(rejections: Sequence[Rejection], rejected: int = 0) -> list[str]:
    """Where each row that was left out begins, and why; then how many more there are of ``rejected``."""
    lines = [f"{each.file}: line {each.line}: {each.reason}" for each in rejections]
    more = rejected - len(lines)
    return [*lines, f"... and {more:,} more rejected rows"] if more > 0 else lines
