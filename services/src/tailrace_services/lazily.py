"""A service's applications, made from the environment when they are first asked for. Touches: the environment, then."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["applications_of"]

MAKERS = {"app": "app_from_environment", "baseline_app": "baseline_app_from_environment"}


def applications_of(package: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a service's package, whose module ``applications`` makes ``app`` and ``baseline_app``.

    Raises, when asked:
        AttributeError: another name.
        SettingsError: one line for every setting that is missing or wrong.
    """

    def made(name: str) -> Any:
        if name not in MAKERS:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        application = getattr(importlib.import_module(f"{package}.applications"), MAKERS[name])()
        setattr(sys.modules[package], name, application)
        return application

    return made
