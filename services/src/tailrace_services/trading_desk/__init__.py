"""Trading Desk: the work items that the traders of a desk share, with a log of who changed what, and trading signals.

``uvicorn tailrace_services.trading_desk:app`` serves it alone, ``...:baseline_app`` the original; both are made from
the environment when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace_services.lazily import applications_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    app: FastAPI
    baseline_app: FastAPI

__all__ = ["app", "baseline_app"]

__getattr__ = applications_of(__name__)
