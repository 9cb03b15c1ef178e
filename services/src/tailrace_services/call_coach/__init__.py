"""Call Coach: sales managers coach representatives from recorded calls.

``uvicorn tailrace_services.call_coach:app`` serves it alone, ``...:baseline_app`` the original; both are made from the
environment when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    app: FastAPI
    baseline_app: FastAPI

__all__ = ["app", "baseline_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tailrace_services.call_coach.applications import app_from_environment, baseline_app_from_environment

    made = app_from_environment() if name == "app" else baseline_app_from_environment()
    globals()[name] = made
    return made
