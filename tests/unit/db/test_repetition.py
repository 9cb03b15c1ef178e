"""When what the database failed to do is done again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from tailrace.db.repetition import FEWEST, PAUSES, Repetition
from tailrace.errors import (
    ConflictError,
    ConstraintError,
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    PoolTimeoutError,
)
from tailrace.events import Event, TransactionRetried
from tailrace.resilience import deadline_within
from tailrace.testing.clock import FakeClock


async def fail(
    clock: FakeClock, seconds: float, error: DatabaseError, events: list[Event] | None = None
) -> list[float]:
    """Fail with ``error`` until nothing is repeated any more; after how many seconds each repetition was made."""
    began = clock.monotonic()
    repeated: list[float] = []

    async def work() -> None:
        repetition = Repetition("default", seconds, clock, None if events is None else events.append)
        while True:
            await repetition.pause_or_give_up(error)
            repeated.append(clock.monotonic() - began)

    working = asyncio.create_task(work())
    await clock.advance(2 * seconds + 1)
    with pytest.raises(type(error)) as caught:
        await working
    assert caught.value is error
    return repeated


async def test_a_lost_connection_is_met_at_once_then_with_pauses_until_the_time_is_over() -> None:
    """As many repetitions as the time allows, none after it, and each is told of."""
    events: list[Event] = []
    repeated = await fail(FakeClock(), 5.0, DatabaseUnavailableError("lost"), events)
    assert repeated[0] == 0.0
    assert 5.0 - PAUSES.cap <= repeated[-1] < 5.0
    assert len(repeated) >= 5.0 / PAUSES.cap
    assert [event for event in events if isinstance(event, TransactionRetried)] == [
        TransactionRetried("default", number, DatabaseUnavailableError.code) for number in range(1, len(repeated) + 1)
    ]


@pytest.mark.parametrize(
    ("deadline", "cause", "repetitions"),
    [(None, ConnectionResetError(), FEWEST), (15.0, ConnectionResetError(), 2), (None, TimeoutError(), 1)],
)
async def test_attempts_that_take_all_the_time_are_repeated_all_the_same(
    deadline: float | None, cause: Exception, repetitions: int
) -> None:
    """On a machine so busy that none fits into the time, a few are made; none after the caller's deadline, and no more
    than there is time for where a server does not answer."""
    error = DatabaseUnavailableError("lost")
    error.__cause__ = cause
    clock = FakeClock()
    attempts = 0
    with nullcontext() if deadline is None else deadline_within(deadline, clock):
        repetition = Repetition("default", 0.5, clock, None)

    async def work() -> None:
        nonlocal attempts
        while True:
            await repetition.pause_or_give_up(error)
            attempts += 1
            await clock.sleep(10.0)

    working = asyncio.create_task(work())
    await clock.advance(100.0)
    with pytest.raises(DatabaseUnavailableError):
        await working
    assert attempts == repetitions


async def test_a_conflict_is_never_met_at_once() -> None:
    """Those who met would meet again."""
    assert min(await fail(FakeClock(), 5.0, ConflictError("deadlock"))) > 0.0


async def test_the_callers_deadline_ends_it_earlier() -> None:
    """Nobody would hear of what is done after it."""
    clock = FakeClock()
    with deadline_within(1.0, clock):
        repeated = await fail(clock, 5.0, DatabaseUnavailableError("lost"))
    assert 1.0 - PAUSES.cap <= repeated[-1] < 1.0


@pytest.mark.parametrize(
    "error",
    [
        lambda: PoolTimeoutError("dry"),
        lambda: DatabaseTimeoutError("too long"),
        lambda: ConstraintError("not unique", kind="unique", constraint=None),
    ],
)
async def test_what_would_fail_again_is_not_repeated(error: Callable[[], DatabaseError]) -> None:
    """Nor what has waited to the end of a time limit: it would wait as long again."""
    assert await fail(FakeClock(), 5.0, error()) == []


async def test_no_time_means_no_repetition() -> None:
    """Not even the first, which needs no pause."""
    assert await fail(FakeClock(), 0.0, DatabaseUnavailableError("lost")) == []
