"""Readies every service's databases, one service after the other. Touches: databases, the terminal."""

from __future__ import annotations

from tailrace.errors import SettingsError
from tailrace.settings import load_settings
from tailrace_services.data.generation import GeneratedDataset
from tailrace_services.services import SERVICES, Service
from tailrace_services.settings import load_services_settings
from tailrace_services.up.service_databases import prepare
from tailrace_services.up.terminal import Terminal

__all__ = ["prepare_all", "prepare_on"]


async def prepare_all(scale: str | None, *, replace: bool = False) -> None:
    """On the server that the environment names, past PgBouncer where it says so.

    Raises:
        SettingsError: it names none.
        DatasetConflictError: imported rows are in the way.
        DatabaseUnavailableError, DatabaseError, SchemaError: the database cannot be reached, or refuses.
    """
    settings = load_settings()
    address = settings.database.direct_url or settings.database_url
    if address is None:
        raise SettingsError("TAILRACE_DATABASE_URL is not set: name a PostgreSQL server")
    seed = load_services_settings().seed
    with Terminal() as terminal:
        ready = await prepare_on(address.get_secret_value(), terminal, scale=scale, seed=seed, replace=replace)
    for service, dataset in ready:
        print(f"{service.title}: {dataset or 'imported rows'}")


async def prepare_on(
    server_url: str, terminal: Terminal, *, scale: str | None, seed: int, replace: bool
) -> list[tuple[Service, GeneratedDataset | None]]:
    """On the server at an address; what each service has then, None where its rows were imported.

    Raises:
        As :func:`prepare_all`.
    """
    prepared: list[tuple[Service, GeneratedDataset | None]] = []
    for service in SERVICES:
        terminal.say(f"preparing the data of the {service.title}")
        terminal.group(service.name)
        ready = await prepare(service.data(), server_url, terminal.advance, scale=scale, seed=seed, replace=replace)
        prepared.append((service, ready.dataset))
    return prepared
