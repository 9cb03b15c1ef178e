"""Tailrace makes a slow PostgreSQL-backed Python API fast, and proves it.

    from tailrace import Tailrace, cached, tag

Names are imported when they are first used, so that ``import tailrace`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailrace.asgi import RoutePolicy
    from tailrace.cache import Cache, CachePolicy
    from tailrace.core.freshness import tag
    from tailrace.db import Database
    from tailrace.errors import TailraceError
    from tailrace.fastapi import Tailrace, cached, limited, uncompressed, unlimited
    from tailrace.settings import Settings, load_settings

__all__ = [
    "Cache",
    "CachePolicy",
    "Database",
    "RoutePolicy",
    "Settings",
    "Tailrace",
    "TailraceError",
    "cached",
    "limited",
    "load_settings",
    "tag",
    "uncompressed",
    "unlimited",
]

_HOMES = {
    "Cache": "tailrace.cache",
    "CachePolicy": "tailrace.cache",
    "Database": "tailrace.db",
    "RoutePolicy": "tailrace.asgi",
    "Settings": "tailrace.settings",
    "Tailrace": "tailrace.fastapi",
    "TailraceError": "tailrace.errors",
    "cached": "tailrace.fastapi",
    "limited": "tailrace.fastapi",
    "load_settings": "tailrace.settings",
    "tag": "tailrace.core.freshness",
    "uncompressed": "tailrace.fastapi",
    "unlimited": "tailrace.fastapi",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
