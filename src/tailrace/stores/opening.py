"""The store that the settings ask for. Touches: nothing until it is connected."""

from __future__ import annotations

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.settings import Settings
from tailrace.stores.memory import MemoryStore
from tailrace.stores.store import Store

__all__ = ["open_store"]


def open_store(settings: Settings, *, clock: Clock, observer: Observer | None = None) -> Store:
    """Valkey with copies in this process where the settings name one, else this process's memory alone.

    Raises:
        MissingExtraError: the Valkey client is not installed.
        SettingsError: the address is none.
    """
    if settings.valkey_url is None:
        return MemoryStore(settings.cache, clock=clock)
    from tailrace.stores.tiered import TieredStore

    return TieredStore(
        settings.valkey_url.get_secret_value(),
        settings=settings.cache,
        valkey=settings.valkey,
        clock=clock,
        observer=observer,
    )
