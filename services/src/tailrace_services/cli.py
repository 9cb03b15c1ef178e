"""The command line ``tailrace-services``. Commands are loaded when they are used, so that ``--help`` is quick.

Exit codes: 0 done, 1 could not be done (one line on standard error says why and what to do), 2 wrong usage.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from tailrace.errors import TailraceError
from tailrace_services.services import SERVICES

if TYPE_CHECKING:
    from click import Context

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "up": ("tailrace_services.up.commands", "Start everything and serve the services until Ctrl-C."),
    "serve": ("tailrace_services.deployed.serve", "Serve the services with servers and databases that there are."),
    "prepare": ("tailrace_services.deployed.prepare", "Ready the services' databases on a server that there is."),
    "prove": ("tailrace_services.prove.commands", "Measure baseline and optimised side by side and compare answers."),
    "hunt": ("tailrace_services.hunt.commands", "Hunt for stale answers while parts are killed."),
    **{
        service.name: (f"{service.package}.commands", f"Data of the {service.title}: migrate, generate, import.")
        for service in SERVICES
    },
}
"""Name: the module whose ``app`` (a ``typer.Typer``) is the command, and its line in ``--help``."""


class LazyGroup(TyperGroup):
    """A group that imports a command's module when the command runs, and none of them for its own help."""

    _listing = False

    def list_commands(self, ctx: Context) -> list[str]:  # type: ignore[override]
        """The names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The command itself; for a listing, its name and one line."""
        if cmd_name not in COMMANDS:
            return None
        module, line = COMMANDS[cmd_name]
        if self._listing:
            return typer.core.TyperCommand(cmd_name, help=line)
        command = get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Context, formatter: Any) -> None:  # type: ignore[override]
        """The group's own help."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)  # type: ignore[arg-type]
        finally:
            self._listing = False


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Tailrace's reference services: born slow, made fast, proved equal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    # Accepted before and after the command's name: it says how errors are shown, not what is done.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(arguments, prog_name="tailrace-services")
    except TailraceError as error:
        if debug:
            raise
        print(f"tailrace-services: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        print(f"tailrace-services: {_system_error(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _system_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
