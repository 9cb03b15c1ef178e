"""Values with a form, read from what a cache holds: another version's, a damaged one, none of ours."""

from __future__ import annotations

import pytest

from tailrace.cache import Answer, Cache, CachePolicy, read_as
from tailrace.stores import MemoryStore

POLICY = CachePolicy("test", ttl=10, jitter=0, early_refresh=0)
TAGS = ("calls",)


class Source:
    """Gives a number, and counts how often."""

    def __init__(self) -> None:
        self.reads = 0
        self.value = b"7"

    async def compute(self) -> bytes:
        self.reads += 1
        return self.value


def number(answer: Answer) -> int:
    """What the value says."""
    return int(answer.value)


async def test_what_can_be_read_is_kept() -> None:
    """As read-through, with what the value says."""
    cache, source = Cache(MemoryStore()), Source()
    for _ in range(2):
        assert await read_as(cache, "k", source.compute, number, policy=POLICY, depends_on=TAGS) == 7
    assert source.reads == 1


async def test_what_cannot_be_read_is_computed_and_kept_anew() -> None:
    """Another version's answer fails nobody, and is asked for once."""
    cache, source = Cache(MemoryStore()), Source()

    async def others() -> bytes:
        return b"seven"

    await cache.read_through("k", others, policy=POLICY, depends_on=TAGS)
    for _ in range(3):
        assert await read_as(cache, "k", source.compute, number, policy=POLICY, depends_on=iter(TAGS)) == 7
    assert source.reads == 1
    await cache.invalidate(TAGS)
    assert await read_as(cache, "k", source.compute, number, policy=POLICY, depends_on=TAGS) == 7
    assert source.reads == 2


async def test_what_is_computed_has_to_be_readable() -> None:
    """A mistake of one's own is told, and not tried for ever."""
    cache, source = Cache(MemoryStore()), Source()
    source.value = b"seven"
    with pytest.raises(ValueError, match="seven"):
        await read_as(cache, "k", source.compute, number, policy=POLICY)
    assert source.reads == 1
