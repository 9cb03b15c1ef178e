"""Commands to try. Pure."""

from __future__ import annotations

from tailrace_services.voice_dashboard.keys import api_key

__all__ = ["examples"]

DEMO_USER = 1


def examples(address: str, seed: int) -> list[str]:
    """Ask for the pages of the user with the most calls, with the key that follows from the ``seed``."""
    key = api_key(seed, DEMO_USER)
    paths = ("/api/dashboard/overview", "/api/dashboard/analytics?days=7", "/api/agents")
    return [f"curl -H 'X-API-Key: {key}' '{address}{path}'" for path in paths]
