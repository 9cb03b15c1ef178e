"""What this service's routes have around them. Touches nothing itself."""

from __future__ import annotations

from typing import Any, TypeAlias

from fastapi import Security

from tailrace_services import surroundings
from tailrace_services.identity.authentication import security_schemes
from tailrace_services.research_hub.api.callers import Callers
from tailrace_services.research_hub.keys import KEYS
from tailrace_services.surroundings import JSON, OWN, PAGED, WRITES, Mark, failures, listed, unmarked

__all__ = ["JSON", "OWN", "PAGED", "WRITES", "Mark", "Surroundings", "credentials", "failures", "listed", "unmarked"]

Surroundings: TypeAlias = surroundings.Surroundings[Callers]


def credentials() -> list[Any]:
    """What routes for somebody in particular name as ways in."""
    return [Security(scheme) for scheme in security_schemes(KEYS, "/api/auth/token")]
