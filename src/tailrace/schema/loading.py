"""Finding declarations by name, for the command line. Touches: imports the service's module."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tailrace.errors import SchemaError
from tailrace.schema.planner import Declaration

__all__ = ["load_declarations"]


def load_declarations(reference: str) -> list[Declaration]:
    """What ``module:attribute`` holds: declarations, or a callable without arguments that returns them.

    Raises:
        SchemaError: no such module or attribute, or something in it is not a declaration.
    """
    module_name, colon, attribute = reference.partition(":")
    if not (colon and module_name and attribute):
        raise SchemaError(f"{reference!r} is not module:attribute")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        held: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SchemaError(f"cannot import {module_name}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(held, part):
            raise SchemaError(f"{module_name} has no {attribute}")
        held = getattr(held, part)
    found = held() if callable(held) else held
    if not isinstance(found, Iterable):
        raise SchemaError(f"{reference} is neither a list of declarations nor a callable that returns one")
    items = list(found)
    strangers = [item for item in items if not isinstance(item, Declaration)]
    if strangers:
        raise SchemaError(
            f"{reference}: {strangers[0]!r} is not a Watch, Rollup, KeptTable, Index, Extension or TimeSeries"
        )
    return items
