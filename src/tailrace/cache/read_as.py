"""Read-through for values that have a form: what cannot be read is computed anew. Touches: the cache.

Versions of an application that run side by side, as while one replaces the other, find what the others have kept; a
store may hold what somebody else has put there. Neither is to fail a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from tailrace.cache.policy import Answer, CachePolicy
from tailrace.cache.read_through import Cache, Compute
from tailrace.errors import StoreUnavailableError

__all__ = ["read_as"]

T = TypeVar("T")


async def read_as(
    cache: Cache,
    key: str,
    compute: Compute,
    read: Callable[[Answer], T],
    *,
    policy: CachePolicy,
    depends_on: Iterable[str] = (),
) -> T:
    """What ``read`` makes of the cached answer, or of the one that ``compute`` gives.

    Args:
        read: raises ``ValueError`` for a value of another form; a kept answer that it refuses is removed and asked
            for once more.
        key, compute, policy, depends_on: as ``Cache.read_through``'s.

    Raises:
        Whatever ``compute`` raises, and ``ValueError`` if what it gives cannot be read.

    Cost: as ``Cache.read_through``'s; a kept answer that is refused costs a round trip more, and being computed.
    """
    tags = tuple(depends_on)
    answer = await cache.read_through(key, compute, policy=policy, depends_on=tags)
    try:
        return read(answer)
    except ValueError:
        if answer.status not in ("hit", "stale"):
            raise
    with suppress(StoreUnavailableError):  # which then is not asked for the next one either
        await cache.forget(key)
    return read(await cache.read_through(key, compute, policy=policy, depends_on=tags))
