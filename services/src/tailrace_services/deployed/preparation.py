"""Readies every service's databases on a server that is somebody else's. Touches: databases, the terminal."""

from __future__ import annotations

from tailrace.errors import SettingsError
from tailrace.settings import load_settings
from tailrace_services.settings import load_services_settings
from tailrace_services.up.preparation import prepare_on
from tailrace_services.up.terminal import Terminal

__all__ = ["prepare_all"]


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
