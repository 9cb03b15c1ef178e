"""What ``up`` prints when everything serves. Pure."""

from __future__ import annotations

from tailrace_services.voice_dashboard.keys import api_key

__all__ = ["announcement"]

DEMO_USER = 1


def announcement(address: str, *, provider_url: str, seed: int, generated: bool, seconds: float, dataset: str) -> str:
    """Addresses, a key, and three commands to copy.

    Args:
        address: where the services are, without a slash at the end.
        provider_url: the voice provider or its simulator.
        seed: what the demo key is made from.
        generated: whether there is a demo user.
        seconds: how long it took.
        dataset: what is loaded, in words.
    """
    service = f"{address}/voice-dashboard"
    lines = [
        f"Tailrace serves ({seconds:.1f} s): {dataset}.",
        "",
        f"  all services        {address}/",
        f"  Voice Dashboard     {service}/docs",
        f"  as it was before    {service}/baseline/docs",
        f"  metrics             {service}/metrics",
        f"  voice provider      {provider_url}",
    ]
    if generated:
        key = api_key(seed, DEMO_USER)
        lines += [
            f"  demo API key        {key}",
            "",
            "Try, twice each: the second answer comes from the cache.",
            "",
            f"  curl -H 'X-API-Key: {key}' {service}/api/dashboard/overview",
            f"  curl -H 'X-API-Key: {key}' '{service}/api/dashboard/analytics?days=7'",
            f"  curl -H 'X-API-Key: {key}' {service}/api/agents",
        ]
    return "\n".join([*lines, "", "Ctrl-C stops everything."])
