"""Research Hub: a platform that collects posts, finds patterns in them, and lets its users publish cards.

``uvicorn tailrace_services.research_hub:app`` serves it alone, ``...:baseline_app`` the original; both are made from
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
