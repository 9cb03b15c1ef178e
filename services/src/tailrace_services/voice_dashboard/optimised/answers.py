"""Cached answers of one service: keys, lives and what is left when an answer cannot be calculated.

Touches: the cache. Every key holds the user; every answer names what it depends on, so a write ends exactly the answers
it changes, and one that depends on time alone lives a minute.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tailrace.cache import Answer, Cache, CachePolicy, Computed, Uncacheable
from tailrace.errors import DatabaseError, DatabaseTimeoutError
from tailrace_services.voice_dashboard.api.dashboard import NoAnswerError

__all__ = ["Answers", "Kind"]

LAST_KNOWN = 5_000
"""Most answers kept for when the database does not answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of answer.

    Args:
        policy: how it is cached.
        timeout: seconds that calculating one may take.
    """

    policy: CachePolicy
    timeout: float


class Answers:
    """Reads through the cache.

    Args:
        cache: shared by the service's processes.
        era: part of every key; another one where answers are calculated for another moment than the present.
    """

    def __init__(self, cache: Cache, era: str = "") -> None:
        self._cache = cache
        self._prefix = f"voice-dashboard{era}"
        self._last: OrderedDict[str, bytes] = OrderedDict()

    def _key(self, kind: Kind, user_id: int, *rest: object) -> str:
        return ":".join([self._prefix, kind.policy.name, f"user={user_id}", *map(str, rest)])

    def peek(self, kind: Kind, tags: tuple[str, ...], user_id: int, *rest: object) -> Answer | None:
        """The answer if this process holds a fresh one."""
        return self._cache.peek(self._key(kind, user_id, *rest), policy=kind.policy, depends_on=tags)

    async def read(
        self,
        kind: Kind,
        tags: tuple[str, ...],
        compute: Callable[[], Awaitable[bytes | Computed | Uncacheable]],
        user_id: int,
        *rest: object,
    ) -> Answer:
        """The answer for ``user_id``, cached or calculated.

        Args:
            tags: what it depends on.
            compute: calculates it.
            rest: what else it depends on, as part of the key.

        Raises:
            NoAnswerError: the database did not answer, or not in time; carries the last known answer.
            RequestError: as ``compute`` raises it.
        """
        key = self._key(kind, user_id, *rest)

        async def limited() -> bytes | Computed | Uncacheable:
            try:
                async with asyncio.timeout(kind.timeout):
                    return await compute()
            except TimeoutError:
                raise DatabaseTimeoutError(f"{kind.policy.name} was not ready in {kind.timeout} seconds") from None

        try:
            answer = await self._cache.read_through(key, limited, policy=kind.policy, depends_on=tags)
        except DatabaseError as error:
            raise NoAnswerError(error, self._last.get(key)) from error
        self._remember(key, answer.value)
        return answer

    def _remember(self, key: str, value: bytes) -> None:
        self._last[key] = value
        self._last.move_to_end(key)
        if len(self._last) > LAST_KNOWN:
            self._last.popitem(last=False)
