"""Finding what a service declares, by name, for the command line. Touches: imports the service's module."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tailrace.errors import SettingsError

__all__ = ["load_attribute"]


def load_attribute(reference: str) -> Any:
    """What ``module:attribute`` names; modules of the working directory count.

    Raises:
        SettingsError: no such module or attribute.
    """
    module_name, colon, attribute = reference.partition(":")
    if not (colon and module_name and attribute):
        raise SettingsError(f"{reference!r} is not module:attribute")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        held: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SettingsError(f"cannot import {module_name}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(held, part):
            raise SettingsError(f"{module_name} has no {attribute}")
        held = getattr(held, part)
    return held
