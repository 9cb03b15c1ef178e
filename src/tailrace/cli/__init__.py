"""The command line, ``tailrace``. Imports what a command needs when it runs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code: 0 done, 1 failed, 2 wrong usage, 3 something is left to do."""
    from tailrace.errors import MissingExtraError
    from tailrace.extras import require

    try:
        require("typer", "cli")
    except MissingExtraError as error:
        sys.exit(f"tailrace: {error}")
    from tailrace.cli.app import app

    app()
