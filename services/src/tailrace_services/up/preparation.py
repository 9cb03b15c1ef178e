"""Readies every service's databases, one service after the other. Touches: databases, the terminal."""

from __future__ import annotations

from tailrace_services.data.generation import GeneratedDataset
from tailrace_services.services import SERVICES, Service
from tailrace_services.up.service_databases import prepare
from tailrace_services.up.terminal import Terminal

__all__ = ["prepare_on"]


async def prepare_on(
    server_url: str, terminal: Terminal, *, scale: str | None, seed: int, replace: bool
) -> list[tuple[Service, GeneratedDataset | None]]:
    """On the server at an address; what each service has then, None where its rows were imported.

    Args:
        scale: None: what is there, or small.
        replace: generate anew, and remove what was imported.

    Raises:
        DatasetConflictError: imported rows are in the way.
        DatabaseUnavailableError, DatabaseError, SchemaError: the database cannot be reached, or refuses.
    """
    prepared: list[tuple[Service, GeneratedDataset | None]] = []
    for service in SERVICES:
        terminal.say(f"preparing the data of the {service.title}")
        terminal.group(service.name)
        ready = await prepare(service.data(), server_url, terminal.advance, scale=scale, seed=seed, replace=replace)
        prepared.append((service, ready.dataset))
    return prepared
