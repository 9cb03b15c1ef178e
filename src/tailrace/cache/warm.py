"""Computing answers before they are asked for. Touches: asyncio tasks.

Three occasions: at start and on a schedule (recipes that the application gives), and right after an invalidation
(recipes remembered from what was asked lately, most used first). Bounded in how much is remembered and runs at once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tailrace.cache.consistency import current_reads
from tailrace.cache.policy import CachePolicy, Computed, Uncacheable
from tailrace.core.freshness import with_table

__all__ = ["Recipe", "Warmer"]

REMEMBERED = 2_000
"""Most recipes kept. Each holds what its computation needs, which may be a whole request."""
MOST_WAITING = 200
"""Most computations under way and waiting; what depends on the same write and is used less is left to its callers."""
AT_ONCE = 2
"""Most computations under way."""
WORTHWHILE = 2
"""Uses since it was last computed that make an answer worth computing again unasked."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make an answer again."""

    compute: Callable[[], Awaitable[bytes | Computed | Uncacheable]]
    policy: CachePolicy
    depends_on: tuple[str, ...]


@dataclass(slots=True)
class _Known:
    recipe: Recipe
    uses: int = 0


class Warmer:
    """Remembers recipes by key and tag and runs them.

    Args:
        warm: looks an answer up and computes it if it must, so that warming shares flights and leases with requests.
        on_error: told of a recipe that failed; the answer is then computed when somebody asks.
    """

    def __init__(
        self,
        warm: Callable[[str, Recipe], Awaitable[None]],
        *,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._warm_one = warm
        self._on_error = on_error
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._by_tag: dict[str, set[str]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def remember(self, key: str, recipe: Recipe) -> None:
        """Keep the recipe of an answer that was just computed."""
        known = self._known.pop(key, None)
        if known is not None:
            self._unlink(key, known.recipe)
        self._known[key] = _Known(recipe)
        for tag in recipe.depends_on:
            self._by_tag.setdefault(tag, set()).add(key)
        if len(self._known) > REMEMBERED:
            oldest, forgotten = self._known.popitem(last=False)
            self._unlink(oldest, forgotten.recipe)

    def used(self, key: str) -> None:
        """Count a hit."""
        known = self._known.get(key)
        if known is not None:
            known.uses += 1

    def invalidated(self, tags: Iterable[str]) -> None:
        """Compute again, most used first, what depended on ``tags`` and was used since it was computed."""
        keys = {key for tag in with_table(tags) for key in self._by_tag.get(tag, ())}
        worth = [(self._known[key].uses, key) for key in keys if self._known[key].uses >= WORTHWHILE]
        for _, key in heapq.nlargest(MOST_WAITING - len(self._tasks), worth):
            self._start(key, self._known[key].recipe)

    async def run(self, recipes: dict[str, Recipe]) -> None:
        """Compute what is not there yet, a bounded number at once; for start-up and schedules."""
        await asyncio.gather(*[self._warm(key, recipe) for key, recipe in recipes.items()])

    async def aclose(self) -> None:
        """Stop warming."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: str, recipe: Recipe) -> None:
        if key in self._tasks:
            return  # it waits for its turn and will see the newest stamps, or it is running and the next use shows
        task = asyncio.create_task(self._warm(key, recipe), name=f"warm {key:.80}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def _warm(self, key: str, recipe: Recipe) -> None:
        current_reads.set(None)  # not part of the request that invalidated
        async with self._slots:
            try:
                await self._warm_one(key, recipe)
            except Exception as error:  # a failed warming costs nobody but the next caller's time
                if self._on_error is not None:
                    self._on_error(key, error)

    def _unlink(self, key: str, recipe: Recipe) -> None:
        for tag in recipe.depends_on:
            keys = self._by_tag.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._by_tag[tag]
