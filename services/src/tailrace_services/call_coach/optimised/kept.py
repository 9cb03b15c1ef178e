"""Answers of tools, kept until something they depend on is written. Touches: the cache."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from tailrace.cache import Answer, Cache, CachePolicy, read_as

__all__ = ["kept"]

T = TypeVar("T")

MOST_READ = 256
"""Answers that are held ready: some 20 to 60 kB each."""


async def kept(
    cache: Cache,
    policy: CachePolicy,
    question: Iterable[object],
    compute: Callable[[], Awaitable[T]],
    adapter: TypeAdapter[T],
    *,
    depends_on: Iterable[str],
) -> T:
    """The kept answer, or what ``compute`` gives, once for all who ask at the same time.

    Args:
        question: all that tells it from others of the same policy; numbers, texts, days and None.
        adapter: makes JSON of an answer, and an answer of JSON.
        depends_on: tags.

    Raises:
        Whatever ``compute`` raises.
    """

    async def computed() -> bytes:
        return adapter.dump_json(await compute())

    def read(answer: Answer) -> T:
        found: T = _read(adapter, answer.value)
        return found

    key = f"call-coach:{policy.name}:{json.dumps(list(question), default=str)}"
    return await read_as(cache, key, computed, read, policy=policy, depends_on=depends_on)


@lru_cache(maxsize=MOST_READ)
def _read(adapter: TypeAdapter[Any], value: bytes) -> Any:
    """What is kept, read once and not for everybody who asks: answers are values, which nobody changes."""
    return adapter.validate_json(value)
