"""Commands to try. Pure."""

from __future__ import annotations

from tailrace_services.research_hub.generator.people import ADMINISTRATOR
from tailrace_services.research_hub.keys import api_key

__all__ = ["examples"]


def examples(address: str, seed: int) -> list[str]:
    """Read published cards, ask a question, and with the key that follows from the ``seed`` see what is one's own."""
    key = api_key(seed, ADMINISTRATOR)
    return [
        f"curl '{address}/api/cards?limit=5'",
        f"curl '{address}/query/rag?q=What+do+people+say+about+training+for+a+marathon%3F'",
        f"curl -H 'X-API-Key: {key}' '{address}/api/cards/mine?total=exact'",
        f"curl -H 'X-API-Key: {key}' '{address}/api/tokens?limit=5'",
        f"curl '{address}/health/performance'",
    ]
