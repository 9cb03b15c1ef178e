"""Optional dependencies, asked for with a message that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from tailrace.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, extra: str) -> ModuleType:
    """Import ``module`` or say which extra brings it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{module} is not installed: pip install 'tailrace[{extra}]'") from error
