"""A relay in a process of its own, which serves nobody and so lets nobody wait. Touches: the database, the store.

Every server relays too, and whoever comes first stamps; but a server's relay waits its turn behind the requests of its
event loop, several times for each commit. Where servers are busy this one comes first. It may run several times, and
when it ends the servers go on without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tailrace.cache import Cache
from tailrace.clock import Clock
from tailrace.db.freshness import DatabaseFreshness
from tailrace.errors import SettingsError
from tailrace.events import Observer
from tailrace.settings import Settings
from tailrace.stores import ValkeyStore

__all__ = ["relaying"]


@asynccontextmanager
async def relaying(
    settings: Settings, *, clock: Clock | None = None, observer: Observer | None = None
) -> AsyncIterator[DatabaseFreshness]:
    """Relay until the block ends; what is down, then or later, is tried again.

    Args:
        settings: the servers' own: their database and store, bound and poll interval.
        clock: time.
        observer: receives the relay's events.

    Raises:
        SettingsError: there is no database, or no store that servers share: each then keeps its own stamps.
    """
    database, store = settings.database_url, settings.valkey_url
    if database is None or store is None:
        missing = "TAILRACE_DATABASE_URL" if database is None else "TAILRACE_VALKEY_URL"
        raise SettingsError(f"a relay stands between a database and a store that servers share: set {missing}")
    # Nothing is read here but what is to be stamped, so no copies have to be tracked.
    shared = ValkeyStore(store.get_secret_value(), settings=settings.valkey, clock=clock, observer=observer)
    freshness = DatabaseFreshness(
        database.get_secret_value(),
        settings=settings.freshness.model_copy(update={"relay": True}),
        database_settings=settings.database,
        clock=clock,
        observer=observer,
    )
    ttl = settings.freshness.stamp_ttl
    cache = Cache(shared, freshness=freshness, settings=settings.cache, stamp_ttl=ttl, clock=clock, observer=observer)
    freshness.attach(cache)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(shared.aclose)
        stack.push_async_callback(cache.aclose)
        stack.push_async_callback(freshness.aclose)
        await shared.connect()
        await freshness.start()
        yield freshness
