"""Where bytes live: the store protocol and its adapters."""

from tailrace.stores.store import Store, StoreStatistics

__all__ = ["Store", "StoreStatistics"]
