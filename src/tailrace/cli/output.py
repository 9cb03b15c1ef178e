"""What every command's output has in common: its forms and its exit codes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["FAILED", "LEFT_TO_DO", "Format", "FormatOption"]

FAILED = 1
"""Exit code: it could not be done."""
LEFT_TO_DO = 3
"""Exit code: it was done, and something is left to do."""


class Format(StrEnum):
    """How results are written."""

    text = "text"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text or json.")]
