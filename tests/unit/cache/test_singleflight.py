"""Single flight: one computation for all who ask at once, and what each way of sharing promises."""

from __future__ import annotations

import asyncio

import pytest

from tailrace.cache.singleflight import SingleFlight


class Counter:
    """A computation that waits to be let go and says how often it began."""

    def __init__(self) -> None:
        self.began = 0
        self.gates: list[asyncio.Event] = []

    async def __call__(self) -> int:
        self.began += 1
        number, gate = self.began, asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        return number


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_thousand_callers_share_one_computation() -> None:
    """Joined: however many ask while it runs, it runs once, and exactly one caller is told that it led."""
    flights, counter = SingleFlight[int](), Counter()
    callers = [asyncio.create_task(flights.join("k", counter)) for _ in range(1000)]
    await settle()
    counter.gates[0].set()
    results = await asyncio.gather(*callers)
    assert {value for value, _ in results} == {1}
    assert sum(led for _, led in results) == 1
    assert len(flights) == 0


async def test_next_never_shares_a_computation_that_had_begun() -> None:
    """Next: a caller that comes during a flight gets the following one, shared with all who came in between."""
    flights, counter = SingleFlight[int](), Counter()
    first = asyncio.create_task(flights.next("k", counter))
    await settle()
    later = [asyncio.create_task(flights.next("k", counter)) for _ in range(50)]
    await settle()
    assert counter.began == 1
    counter.gates[0].set()
    await settle()
    latest = asyncio.create_task(flights.next("k", counter))
    await settle()
    assert counter.began == 2
    counter.gates[1].set()
    await settle()
    counter.gates[2].set()
    assert (await first)[0] == 1
    assert {value for value, _ in await asyncio.gather(*later)} == {2}
    assert (await latest)[0] == 3


async def test_next_goes_on_after_a_flight_that_failed() -> None:
    """A failed computation fails its own callers only."""
    flights = SingleFlight[int]()
    gate = asyncio.Event()

    async def fail() -> int:
        await gate.wait()
        raise ValueError("no")

    async def succeed() -> int:
        return 7

    failing = asyncio.create_task(flights.next("k", fail))
    await settle()
    following = asyncio.create_task(flights.next("k", succeed))
    await settle()
    gate.set()
    assert (await following)[0] == 7
    with pytest.raises(ValueError, match="no"):
        await failing


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    """Cancelling one caller, even the one that began it, leaves the computation to the others."""
    flights, counter = SingleFlight[int](), Counter()
    leader = asyncio.create_task(flights.join("k", counter))
    await settle()
    follower = asyncio.create_task(flights.join("k", counter))
    await settle()
    leader.cancel()
    await settle()
    counter.gates[0].set()
    assert await follower == (1, False)
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_the_last_caller_to_leave_ends_the_computation() -> None:
    """Nobody waits, so nothing runs; the next caller begins anew."""
    flights, counter = SingleFlight[int](), Counter()
    only = asyncio.create_task(flights.join("k", counter))
    await settle()
    only.cancel()
    again = asyncio.create_task(flights.join("k", counter))
    await settle()
    assert counter.began == 2
    counter.gates[1].set()
    assert await again == (2, True)


async def test_errors_reach_every_caller() -> None:
    """All who shared a failed computation see its error."""
    flights = SingleFlight[int]()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*[flights.join("k", fail) for _ in range(5)], return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 5
