"""``tailrace schema``: what Tailrace keeps in the service's database. Touches: the terminal and the database.

``plan`` and ``status`` only look. ``apply`` and ``reconcile`` only say what they would do unless told ``--yes`` or
``--repair``. With ``--format json`` one JSON document goes to stdout and nothing else does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tailrace.cli.output import LEFT_TO_DO, Format, FormatOption, UrlOption, database_address, failure
from tailrace.errors import SchemaError, SettingsError, TailraceError

if TYPE_CHECKING:
    from tailrace.schema import Plan, Progress

__all__ = ["schema"]

T = TypeVar("T")

schema = typer.Typer(help="Watches, rollups and indexes in the service's database.", no_args_is_help=True)


AppOption = Annotated[
    str,
    typer.Option(
        "--app", help="module:attribute that holds the declarations (a list, or a callable that returns one)."
    ),
]


@schema.command()
def plan(
    app: AppOption,
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    sql: Annotated[bool, typer.Option("--sql", help="Show the statements.")] = False,
) -> None:
    """Show what apply would do. Exit code 3 if there is anything."""
    from tailrace.schema import plan as make

    found = _run(lambda: make(database_address(database_url), _declared(app)))
    _show_plan(found, output, sql)
    if found:
        raise typer.Exit(LEFT_TO_DO)


@schema.command()
def apply(
    app: AppOption,
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    yes: Annotated[
        bool, typer.Option("--yes", help="Change the database; without it, only say what would be done.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove what is no longer declared.")] = False,
) -> None:
    """Create, change and fill what is declared, while the service runs. A dry run without --yes (exit code 3)."""
    from tailrace.schema import apply as carry_out

    found = _run(
        lambda: carry_out(
            database_address(database_url),
            _declared(app),
            dry_run=not yes,
            prune=prune,
            progress=_progress(output) if yes else None,
        )
    )
    _show_plan(found, output, False)
    if not yes and (found or (prune and found.unneeded)):
        if output is Format.text:
            typer.echo("nothing was changed: this was a dry run; --yes does it", err=True)
        raise typer.Exit(LEFT_TO_DO)


@schema.command()
def reconcile(
    app: AppOption,
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    repair: Annotated[bool, typer.Option("--repair", help="Add what is missing.")] = False,
) -> None:
    """Compare rollups with their rows. Exit code 3 if one drifted and was not repaired."""
    from tailrace.schema import reconcile as check

    found = _run(
        lambda: check(database_address(database_url), _declared(app), repair=repair, progress=_progress(output))
    )
    if output is Format.json:
        rows = [
            {"rollup": d.rollup, "drifting_keys": d.keys, "examples": list(d.examples), "repaired": d.repaired}
            for d in found
        ]
        typer.echo(json.dumps(rows, default=str, indent=2))
    else:
        for drift in found:
            state = (
                "exact" if not drift.keys else f"{drift.keys} keys drifted" + (", repaired" if drift.repaired else "")
            )
            typer.echo(f"{drift.rollup}: {state}")
            for example in drift.examples:
                typer.echo("    lacks " + ", ".join(f"{name}={value}" for name, value in example.items()))
    if any(drift.keys and not drift.repaired for drift in found):
        raise typer.Exit(LEFT_TO_DO)


@schema.command()
def status(database_url: UrlOption = None, output: FormatOption = Format.text) -> None:
    """List what Tailrace keeps in the database. Exit code 3 if an object is not ready."""
    from tailrace.schema import status as read_status

    rows = _run(lambda: read_status(database_address(database_url)))
    if output is Format.json:
        typer.echo(json.dumps(rows, default=str, indent=2))
    elif not rows:
        typer.echo("Tailrace keeps nothing in this database")
    else:
        for row in rows:
            typer.echo(
                f"{row['kind']:9} {row['state']:9} {row['name']}  (since {row['changed_at']:%Y-%m-%d %H:%M:%S}Z)"
                + ("" if row["pending"] is None else f", {row['pending']} differences to fold")
            )
    if any(row["state"] != "ready" for row in rows):
        raise typer.Exit(LEFT_TO_DO)


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(work())
    except TailraceError as error:
        raise failure(error) from error
    except KeyboardInterrupt:
        typer.echo("tailrace: interrupted; run it again to go on", err=True)
        raise typer.Exit(130) from None


def _declared(reference: str) -> list[Any]:
    """What ``--app`` names.

    Raises:
        SettingsError: it names no declarations.
    """
    from tailrace.schema import load_declarations

    try:
        return load_declarations(reference)
    except SchemaError as error:
        raise SettingsError(str(error)) from error


def _show_plan(found: Plan, output: Format, sql: bool) -> None:
    if output is Format.text:
        typer.echo(found.render(sql=sql))
        return

    def listed(steps: Any) -> list[dict[str, Any]]:
        return [
            {"kind": s.kind, "name": s.name, "action": s.action, "reason": s.reason, "sql": list(s.sql)} for s in steps
        ]

    document = {"steps": listed(found.steps), "unneeded": listed(found.unneeded), "warnings": list(found.warnings)}
    typer.echo(json.dumps(document, indent=2))


def _progress(output: Format) -> Callable[[Progress], None] | None:
    if output is Format.json or not sys.stderr.isatty():
        return None
    from tailrace.cli.progress import Bars

    return Bars().report
