"""What commands have in common: forms of output, exit codes, and which database is meant."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tailrace.errors import SettingsError

__all__ = [
    "FAILED",
    "LEFT_TO_DO",
    "MISUSED",
    "WIDTH",
    "Format",
    "FormatOption",
    "PageFormat",
    "PageFormatOption",
    "UrlOption",
    "database_address",
    "failure",
]

FAILED = 1
"""Exit code: it could not be done."""
MISUSED = 2
"""Exit code: it was asked for wrongly; on the command line or in the environment."""
LEFT_TO_DO = 3
"""Exit code: it was done, and something is left to do."""


class Format(StrEnum):
    """How results are written."""

    text = "text"
    json = "json"


class PageFormat(StrEnum):
    """How what is also a page of the documentation is written."""

    text = "text"
    json = "json"
    markdown = "markdown"


WIDTH = 100
"""Columns of text."""

PageFormatOption = Annotated[PageFormat, typer.Option("--format", help="text, json or markdown.")]

FormatOption = Annotated[Format, typer.Option("--format", help="text or json.")]

UrlOption = Annotated[
    str | None,
    typer.Option("--database-url", help="postgresql://...; by default TAILRACE_DATABASE_URL.", show_default=False),
]


def failure(error: Exception) -> typer.Exit:
    """Say what went wrong, in one line; returns what to raise."""
    typer.echo(f"tailrace: {error}", err=True)
    return typer.Exit(MISUSED if isinstance(error, SettingsError | ValueError) else FAILED)


def database_address(given: str | None) -> str:
    """The database that is meant.

    Raises:
        SettingsError: none was given, and the environment names none.
    """
    from tailrace.settings import load_settings

    if given:
        return given
    url = load_settings().database_url
    if url is None:
        raise SettingsError("which database? give --database-url or set TAILRACE_DATABASE_URL")
    return url.get_secret_value()
