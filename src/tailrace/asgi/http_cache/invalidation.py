"""Invalidates what is stored by giving its tags new stamps, and owes what a store would not take.

Touches: the store, a task. A store that cannot be reached, or has no room, may come back with everything that it held.
What was invalidated meanwhile is remembered here, written as soon as it can be, and nothing is read before that: a
client that wrote while the store was away is not shown what was there before. Processes that can reach the store go on
without knowing until then.

**Source:** RFC 9111 section 4.4 (invalidation); docs/decisions/0048-answers-of-others.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from tailrace.asgi.http_cache.places import stamp_names
from tailrace.core.freshness import STAMP_BYTES
from tailrace.errors import StoreUnavailableError
from tailrace.stores import Store

__all__ = ["Invalidation"]

MOST_OWED = 16_384
"""Tags that are remembered; with more, everything is invalidated."""
PAUSE = 0.25
"""Seconds between two attempts to write what is owed."""


class Invalidation:
    """Writes new stamps.

    Args:
        store: where stamps lie.
        prefix: what their names begin with; raises StoreUnavailableError while there is none.
        longest: seconds for which a stamp is kept.
    """

    def __init__(self, store: Store, prefix: Callable[[], str], longest: float) -> None:
        self._store = store
        self._prefix = prefix
        self._longest = longest
        self._owed: dict[str, object] = {}
        self._all: object = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def owing(self) -> bool:
        """Whether something was invalidated that the store may still hold."""
        return self._all is not None or bool(self._owed)

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Give ``tags`` new stamps. Cost: 1 round trip, 2 where the store has no room.

        Raises:
            StoreUnavailableError: the store is down or slow; it will be done as soon as it can be.
        """
        try:
            await self._write(tags)
        except StoreUnavailableError:
            self._owe(tags)
            raise

    async def settle(self) -> None:
        """Write what is owed.

        Raises:
            StoreUnavailableError: it is still owed.
        """
        everything = self._all
        if everything is not None:
            await self._store.clear(self._prefix())
            if self._all is everything:  # nor was more than can be remembered owed meanwhile
                self._all = None
        owed = dict(self._owed)
        if owed:
            await self._write(list(owed))
            self._owed = {tag: when for tag, when in self._owed.items() if owed.get(tag) is not when}

    async def aclose(self) -> None:
        """Try no more."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)

    async def _write(self, tags: Sequence[str]) -> None:
        names = stamp_names(self._prefix(), tags)
        try:
            await self._store.set({name: os.urandom(STAMP_BYTES) for name in names}, self._longest)
        except StoreUnavailableError:
            # One that is full still removes. A stamp that is gone is made anew, so what carries it is as invalid.
            await self._store.delete(names)

    def _owe(self, tags: Sequence[str]) -> None:
        self._owed |= {tag: object() for tag in tags}
        if len(self._owed) > MOST_OWED:
            self._owed.clear()
            self._all = object()
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try(), name="tailrace invalidation")

    async def _try(self) -> None:
        while self.owing:
            await asyncio.sleep(PAUSE)
            with suppress(StoreUnavailableError):
                await self.settle()
