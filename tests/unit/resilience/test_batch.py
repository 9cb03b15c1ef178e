"""Bounded concurrent batches with partial results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tailrace.errors import UpstreamTimeoutError, UpstreamUnavailableError
from tailrace.resilience import deadline_within, gather_partial
from tailrace.testing.clock import FakeClock


def after(clock: FakeClock, seconds: float, value: str) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        await clock.sleep(seconds)
        return value

    return call


async def failing() -> str:
    raise UpstreamUnavailableError("no")


async def test_one_failure_costs_only_itself() -> None:
    """The others' results are all there, in the order of the calls."""
    clock = FakeClock()
    calls = {"c": after(clock, 3, "3"), "a": failing, "b": after(clock, 1, "1")}
    batch = asyncio.create_task(gather_partial(calls, clock=clock))
    await clock.advance(3)
    outcome = await batch
    assert list(outcome.results.items()) == [("c", "3"), ("b", "1")]
    assert list(outcome.errors) == ["a"]
    assert not outcome.complete


async def test_each_call_has_its_own_time() -> None:
    """A slow call times out alone, counted from its own start, not from the batch's."""
    clock = FakeClock()
    calls = {"a": after(clock, 1.5, "a"), "b": after(clock, 9, "b"), "c": after(clock, 1.5, "c")}
    batch = asyncio.create_task(gather_partial(calls, clock=clock, concurrency=1, timeout=2))
    await clock.advance(5)
    outcome = await batch
    assert list(outcome.results) == ["a", "c"]
    assert isinstance(outcome.errors["b"], UpstreamTimeoutError)


async def test_the_time_for_all_keeps_what_has_come() -> None:
    """At the end of the total time, what finished is returned and the rest is marked, including what never began."""
    clock = FakeClock()
    calls = {n: after(clock, 1, str(n)) for n in range(6)}
    batch = asyncio.create_task(gather_partial(calls, clock=clock, concurrency=2, total_timeout=2.5))
    await clock.advance(2.6)
    outcome = await batch
    assert list(outcome.results) == [0, 1, 2, 3]
    assert list(outcome.errors) == [4, 5]
    assert len(asyncio.all_tasks()) == 1


async def test_the_callers_deadline_ends_it() -> None:
    """A deadline set further up shortens the time for all."""
    clock = FakeClock()
    with deadline_within(1.0, clock):
        batch = asyncio.create_task(gather_partial({"a": after(clock, 5, "a")}, clock=clock, total_timeout=60))
    await clock.advance(1.1)
    assert isinstance((await batch).errors["a"], UpstreamTimeoutError)


async def test_never_more_at_once_than_allowed() -> None:
    """Bounded concurrency, however many calls."""
    clock = FakeClock()
    running = peak = 0

    async def call() -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await clock.sleep(1)
        running -= 1

    batch = asyncio.create_task(gather_partial(dict.fromkeys(range(20), call), clock=clock, concurrency=3))
    await clock.advance(7)
    assert (await batch).complete
    assert peak == 3


async def test_cancelling_the_caller_ends_all_children_first() -> None:
    """When the cancelled batch is over, none of its calls is still running."""
    clock = FakeClock()
    ended: list[int] = []

    async def call(n: int) -> None:
        try:
            await clock.sleep(100)
        finally:
            await asyncio.sleep(0)
            ended.append(n)

    batch = asyncio.create_task(gather_partial({n: lambda n=n: call(n) for n in range(4)}, clock=clock))  # type: ignore[misc]
    await clock.advance(1)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert sorted(ended) == [0, 1, 2, 3]
    assert len(asyncio.all_tasks()) == 1


async def test_a_mistake_in_one_call_ends_the_batch() -> None:
    """A programming error is raised, not reported as a missing result, and the others are cancelled."""
    clock = FakeClock()

    async def wrong() -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await gather_partial({"a": after(clock, 100, "a"), "b": wrong}, clock=clock)
    assert len(asyncio.all_tasks()) == 1


async def test_an_empty_batch_is_complete() -> None:
    """Nothing asked, nothing missing."""
    outcome = await gather_partial({}, clock=FakeClock(), total_timeout=1)
    assert outcome.complete
    assert outcome.results == {}
