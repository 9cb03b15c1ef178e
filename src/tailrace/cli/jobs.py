"""``tailrace jobs``: the queue of background jobs. Touches: signals, the terminal, the database, the service's module.

``install`` only says what it would do unless told ``--yes``. With ``--format json`` one JSON document goes to stdout
and nothing else does. Arguments of jobs are shown to those who ask for them.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tailrace.cli.output import LEFT_TO_DO, Format, FormatOption, UrlOption, database_address, failure
from tailrace.errors import JobError, SettingsError, TailraceError

if TYPE_CHECKING:
    from tailrace.db import Database
    from tailrace.jobs import Jobs, QueuedJob

__all__ = ["jobs"]

T = TypeVar("T")

jobs = typer.Typer(help="The queue of background jobs: do them, see them, revive them.", no_args_is_help=True)

AppOption = Annotated[
    str, typer.Option("--app", help="module:attribute of the application with Tailrace(app, jobs=...), or of its Jobs.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]
ArgumentsOption = Annotated[bool, typer.Option("--arguments", help="Show what the jobs were told, too.")]


@jobs.command()
def install(
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    yes: Annotated[bool, typer.Option("--yes", help="Make them; without it, only say what would be done.")] = False,
) -> None:
    """Make the queue's tables, or bring them up to this release. A dry run without --yes (exit code 3)."""
    from tailrace.jobs import install_tables, plan_tables

    carry_out = install_tables if yes else plan_tables
    statements = _run(lambda: carry_out(database_address(database_url)))
    if output is Format.json:
        typer.echo(json.dumps({"statements": statements, "done": yes}, indent=2))
    else:
        for statement in statements:
            typer.echo(statement)
        typer.echo(f"{len(statements)} statements" + ("" if yes or not statements else "; --yes runs them"), err=True)
    if statements and not yes:
        raise typer.Exit(LEFT_TO_DO)


@jobs.command()
def work(app: AppOption) -> None:
    """Do jobs until Ctrl-C or SIGTERM, beside servers that do none. Same environment as theirs."""
    _run(lambda: _work(app))


@jobs.command("list")
def list_(
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    name: Annotated[list[str] | None, typer.Option(help="Only jobs of this name.")] = None,
    limit: LimitOption = 100,
    arguments: ArgumentsOption = False,
) -> None:
    """List jobs that are not over: waiting, running and dead ones."""
    from tailrace.jobs import list_jobs

    found = _run(
        lambda: _asked(database_url, lambda db: list_jobs(db, names=name or (), limit=limit, arguments=arguments))
    )
    if output is Format.json:
        typer.echo(json.dumps([asdict(job) for job in found], default=str, indent=2))
        return
    for job in found:
        typer.echo(_line(job))


@jobs.command()
def dead(
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    limit: LimitOption = 100,
    arguments: ArgumentsOption = False,
) -> None:
    """List jobs that failed for the last time, and why. Exit code 3: there are some."""
    from tailrace.jobs import dead_jobs

    found = _run(lambda: _asked(database_url, lambda db: dead_jobs(db, limit=limit, arguments=arguments)))
    if output is Format.json:
        typer.echo(json.dumps([asdict(each) for each in found], default=str, indent=2))
    else:
        for each in found:
            typer.echo(f"{_line(each.job)}\n    {each.died:%Y-%m-%d %H:%M:%S}Z {each.error}")
    if found:
        raise typer.Exit(LEFT_TO_DO)


@jobs.command()
def retry(
    number: Annotated[list[int] | None, typer.Argument(help="Ids of dead jobs.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are dead.")] = False,
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
) -> None:
    """Put dead jobs back into the queue. Exit code 3: some of those named are not dead."""
    from tailrace.jobs import requeue

    if bool(number) == everything:
        raise typer.BadParameter("give ids, or --all")
    found = _run(lambda: _asked(database_url, lambda db: requeue(db, number or None)))
    if output is Format.json:
        typer.echo(json.dumps({"requeued": found}, indent=2))
    else:
        typer.echo(f"put back: {', '.join(map(str, found)) or 'none'}")
    if set(number or ()) - set(found):
        raise typer.Exit(LEFT_TO_DO)


@jobs.command()
def run(
    name: Annotated[str, typer.Argument(help="The job's name.")],
    app: AppOption,
    argument: Annotated[
        list[str] | None, typer.Option(help="name=value; a value that is JSON is taken as such, else as text.")
    ] = None,
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
) -> None:
    """Put a job into the queue by hand; a worker does it."""

    async def enqueue(database: Database) -> int | None:
        async with database.session() as session:
            found = await _find(app)[name].enqueue(session, **_read_arguments(argument or []))
            await session.commit()
            return found

    try:
        found = _run(lambda: _asked(database_url, enqueue))
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--argument") from error
    typer.echo(json.dumps({"id": found}) if output is Format.json else f"enqueued as {found}")


def _run(work: Callable[[], Awaitable[T]]) -> T:
    async def awaited() -> T:
        return await work()

    try:
        return asyncio.run(awaited())
    except TailraceError as error:
        raise failure(error) from error


async def _asked(database_url: str | None, ask: Callable[[Database], Awaitable[T]]) -> T:
    """What ``ask`` finds in the database.

    Raises:
        JobError: it has no queue.
    """
    from tailrace.db import Database
    from tailrace.jobs import plan_tables

    address = database_address(database_url)
    database = Database(address)
    try:
        return await ask(database)
    except TailraceError:
        raise
    except Exception as error:
        if await plan_tables(address):
            raise JobError("the queue's tables are not as they should be: tailrace jobs install --yes") from error
        raise
    finally:
        await database.aclose()


def _line(job: QueuedJob) -> str:
    told = "" if job.arguments is None else f"  {json.dumps(job.arguments)}"
    back = f", put back {job.retries} times" if job.retries else ""
    return f"{job.id:>8}  {job.state:<8} {job.name:<32} due {job.due:%Y-%m-%d %H:%M:%S}Z{back}{told}"


def _read_arguments(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise ValueError(f"{each!r} is not name=value")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _find(reference: str) -> Jobs:
    """The jobs of an application, or those that the reference names.

    Raises:
        SettingsError: there are none.
    """
    from tailrace.jobs import Jobs
    from tailrace.loading import load_attribute

    found = load_attribute(reference)
    declared = found if isinstance(found, Jobs) else getattr(_tailrace_of(found), "jobs", None)
    if not isinstance(declared, Jobs):
        raise SettingsError(f"{reference} is no application with Tailrace(app, jobs=...), and no Jobs")
    return declared


async def _work(reference: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with _working(reference):
        typer.echo("working")
        await stopped.wait()


@asynccontextmanager
async def _working(reference: str) -> AsyncIterator[None]:
    """The application, which serves nobody and works; or a worker without one, whose figures its servers show."""
    from tailrace.jobs import Jobs, working
    from tailrace.loading import load_attribute
    from tailrace.observe import counting_aside
    from tailrace.settings import load_settings

    declared = _find(reference)
    found = load_attribute(reference)
    if not isinstance(found, Jobs):
        async with _tailrace_of(found).working():
            yield
        return
    settings = load_settings()
    async with counting_aside(settings.http) as metrics, working(declared, settings, observer=metrics):
        yield


def _tailrace_of(app: Any) -> Any:
    return getattr(getattr(app, "state", None), "tailrace", None)
