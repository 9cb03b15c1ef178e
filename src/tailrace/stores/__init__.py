"""Where bytes live: the store protocol and its adapters.

``MemoryStore`` for one process, ``ValkeyStore`` for several, ``TieredStore`` for several with local copies that the
server keeps right. The last two are imported when first asked for; they need ``tailrace[valkey]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.stores.memory import MemoryStore
from tailrace.stores.opening import open_store
from tailrace.stores.store import Store, StoreStatistics

if TYPE_CHECKING:
    from tailrace.stores.tiered import TieredStore
    from tailrace.stores.valkey import ValkeyStore

__all__ = ["MemoryStore", "Store", "StoreStatistics", "TieredStore", "ValkeyStore", "open_store"]


def __getattr__(name: str) -> object:
    if name == "ValkeyStore":
        from tailrace.stores.valkey import ValkeyStore

        return ValkeyStore
    if name == "TieredStore":
        from tailrace.stores.tiered import TieredStore

        return TieredStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
