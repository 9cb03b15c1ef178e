"""Commands to try. Pure."""

from __future__ import annotations

__all__ = ["examples"]


def examples(address: str, seed: int) -> list[str]:
    """Ask for the analysis of a call; nobody need say who they are."""
    del seed  # the numbers are the same whatever the rows are made from
    header, url = "Content-Type: application/json", f"{address}/api/v1/tools/analyze_call"
    return [f"curl -H '{header}' -d '{{\"call_id\": 1}}' {url}"]
