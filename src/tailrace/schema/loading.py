"""Finding declarations by name, for the command line. Touches: imports the service's module."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.errors import SchemaError, SettingsError
from tailrace.loading import load_attribute
from tailrace.schema.planner import Declaration

__all__ = ["load_declarations"]


def load_declarations(reference: str) -> list[Declaration]:
    """What ``module:attribute`` holds: declarations, or a callable without arguments that returns them.

    Raises:
        SchemaError: no such module or attribute, or something in it is not a declaration.
    """
    try:
        held = load_attribute(reference)
    except SettingsError as error:
        raise SchemaError(str(error)) from error
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
