"""What ``up`` prints when everything serves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Served", "announcement"]


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is served.

    Args:
        title: for people.
        path: where it is below the address of all, beginning with a slash.
        rows: what is loaded, in words.
        examples: commands to copy.
    """

    title: str
    path: str
    rows: str
    examples: Sequence[str]


def announcement(address: str, services: Sequence[Served], *, provider_url: str, seconds: float) -> str:
    """Addresses, what is there, and commands to copy.

    Args:
        address: where the services are, without a slash at the end.
        provider_url: the voice provider or its simulator.
        seconds: how long it took.
    """
    lines = [f"Tailrace serves ({seconds:.1f} s).", ""]
    lines += [f"  all services        {address}/", f"  voice provider      {provider_url}"]
    for service in services:
        lines += [
            "",
            f"{service.title}: {service.rows}",
            f"  documentation       {address}{service.path}/docs",
            f"  as it was before    {address}{service.path}/baseline/docs",
            f"  metrics             {address}{service.path}/metrics",
            *(f"  {example}" for example in service.examples),
        ]
    return "\n".join([*lines, "", "Try each twice: the second answer comes from the cache. Ctrl-C stops everything."])
