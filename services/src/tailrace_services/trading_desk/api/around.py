"""What the service's routes have around them, and what all of them may answer. Pure: declarations."""

from __future__ import annotations

from typing import Any, TypeAlias

from tailrace_services.surroundings import Surroundings
from tailrace_services.trading_desk.api.callers import Callers

__all__ = ["BUSY", "Around"]

Around: TypeAlias = Surroundings[Callers]

BUSY: dict[int | str, dict[str, Any]] = {429: {"description": "Too many requests; `Retry-After` says when."}}
