"""Computations in their callers' own tasks: shared, handed over, never outliving who began them."""

from __future__ import annotations

import asyncio

import pytest

from tailrace.cache.in_place import InPlace


class Work:
    """Computes when it is let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.runs: list[asyncio.Task[object] | None] = []

    async def compute(self) -> int:
        self.runs.append(asyncio.current_task())
        await self.gate.wait()
        return len(self.runs)


async def begun(work: Work, runs: int) -> None:
    while len(work.runs) < runs:
        await asyncio.sleep(0)


async def test_one_computes_for_all_in_its_own_task() -> None:
    """The others get its result; nobody else's task is used."""
    work, flights = Work(), InPlace[int]()
    tasks = [asyncio.create_task(flights.join("key", work.compute)) for _ in range(5)]
    await begun(work, 1)
    work.gate.set()
    assert await asyncio.gather(*tasks) == [(1, True), *[(1, False)] * 4]
    assert work.runs == tasks[:1]
    assert len(flights) == 0


async def test_who_leaves_hands_over() -> None:
    """Cancelled while it computes: one of those who wait computes anew, once."""
    work, flights = Work(), InPlace[int]()
    tasks = [asyncio.create_task(flights.join("key", work.compute)) for _ in range(4)]
    await begun(work, 1)
    tasks[0].cancel()
    await begun(work, 2)
    tasks[3].cancel()  # one that waits may leave too
    work.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(outcome for outcome in found if isinstance(outcome, tuple)) == [(2, False), (2, True)]
    assert len(work.runs) == 2
    assert len(flights) == 0


async def test_a_failure_is_its_own() -> None:
    """Those who wait are told that there is nothing to share; what comes later begins anew."""
    flights = InPlace[int]()
    gate = asyncio.Event()

    async def fail() -> int:
        await gate.wait()
        raise LookupError("mine")

    first = asyncio.create_task(flights.join("key", fail))
    await asyncio.sleep(0)
    second = asyncio.create_task(flights.join("key", fail))
    await asyncio.sleep(0)
    gate.set()
    assert await second == (None, False)
    with pytest.raises(LookupError):
        await first
    assert len(flights) == 0


async def test_keys_do_not_wait_for_each_other() -> None:
    """A flight is one key's."""
    work, flights = Work(), InPlace[int]()
    tasks = [asyncio.create_task(flights.join(key, work.compute)) for key in "ab"]
    await begun(work, 2)
    work.gate.set()
    assert [computed for _, computed in await asyncio.gather(*tasks)] == [True, True]
