"""The server that ``bench.invalidation`` starts three times: one cached endpoint, and a note of what its process saw.

``/witness`` tells when this process dropped its copies of stamps, in seconds of the machine's monotonic clock, and
forgets it. Touches: the environment, everything that Tailrace touches.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text

from tailrace import Tailrace, cached
from tailrace.settings import load_settings
from tailrace.stores import TieredStore

__all__ = ["app", "tailrace"]

VERSION = text("SELECT version FROM items WHERE id = :item")
TAG = "items:id="

dropped: list[tuple[int, float]] = []


class Witness(TieredStore):
    """Notes the moment from which an old stamp is no longer answered from here."""

    def invalidated(self, keys: Sequence[bytes] | None) -> None:
        """As ever, and noted."""
        super().invalidated(keys)
        for key in keys or ():
            _, found, item = key.decode().rpartition(":s:" + TAG)
            if found:
                dropped.append((int(item), time.monotonic()))


settings = load_settings()
assert settings.valkey_url is not None
address = settings.valkey_url.get_secret_value()
app = FastAPI()
tailrace = Tailrace(app, settings, store=lambda: Witness(address, settings=settings.cache, valkey=settings.valkey))


async def _version(item: int) -> dict[str, int]:
    assert tailrace.database is not None
    rows = await tailrace.database.fetch(VERSION, {"item": item})
    return {"version": rows[0][0]}


@app.get("/items/{item}")
@cached(ttl=3600, shared=True, depends_on=lambda identity, path, query: (f"{TAG}{path['item']}",))
async def kept(item: int) -> Any:
    """An item's version, from the cache while that is right."""
    return await _version(item)


@app.get("/computed/{item}")
async def computed(item: int) -> Any:
    """The same, always from the database."""
    return await _version(item)


@app.get("/witness")
async def witness() -> Any:
    """What was noted since it was last asked for: item and moment."""
    noted = list(dropped)
    dropped.clear()
    return noted
