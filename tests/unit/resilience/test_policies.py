"""Timeout, retry, circuit breaker, bulkhead, fallback and deadline, each around a plain coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tailrace.core.backoff import Backoff
from tailrace.core.breaker import BreakerPolicy
from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tailrace.events import AttemptFailed, BulkheadRefused, CircuitChanged, Event, FallbackUsed
from tailrace.resilience import (
    Budget,
    Bulkhead,
    CircuitBreaker,
    Retry,
    current_deadline,
    deadline_within,
    limit,
    with_fallback,
    with_timeout,
)
from tailrace.testing.clock import FakeClock


class Script:
    """An attempt that fails as told, then succeeds; remembers when it was made."""

    def __init__(self, clock: FakeClock, *failures: Exception) -> None:
        self.clock = clock
        self.failures = list(failures)
        self.made_at: list[float] = []

    async def __call__(self) -> str:
        self.made_at.append(self.clock.monotonic())
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def retry(clock: FakeClock, events: list[Event] | None = None, *, budget: Budget | None = None, most: int = 3) -> Retry:
    observer = None if events is None else events.append
    return Retry(
        "svc", max_retries=most, backoff=Backoff(1.0), budget=budget, clock=clock, random=lambda: 1.0, observer=observer
    )


async def finish(clock: FakeClock, work: Awaitable[str], seconds: float = 100.0) -> str:
    task = asyncio.ensure_future(work)
    await clock.advance(seconds)
    assert task.done()
    return task.result()


# --- timeout -------------------------------------------------------------------------------------


async def test_a_call_that_is_late_is_cancelled_and_says_so() -> None:
    """After the limit the caller gets a timeout, and the call is not left running."""
    clock = FakeClock()
    ended: list[str] = []

    async def slow() -> None:
        try:
            await clock.sleep(10)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.create_task(with_timeout(slow, 3.0, clock=clock, what="svc"))
    await clock.advance(2.9)
    assert not task.done()
    await clock.advance(0.2)
    with pytest.raises(UpstreamTimeoutError, match="svc: no answer within 3 s"):
        await task
    assert ended == ["cancelled"]


async def test_the_time_limit_leaves_nothing_behind() -> None:
    """A call that ends in time leaves no timer running."""
    clock = FakeClock()

    async def quick() -> int:
        return 1

    assert await with_timeout(quick, 3.0, clock=clock) == 1
    await asyncio.sleep(0)
    assert clock.sleepers == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancellation_at_the_moment_of_the_timeout_is_not_lost() -> None:
    """The caller's cancellation wins over a timeout that fires in the same turn of the loop."""
    clock = FakeClock()
    task = asyncio.create_task(with_timeout(lambda: clock.sleep(10), 3.0, clock=clock))
    await clock.advance(1)
    clock.step(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_of_the_call_itself_passes_unchanged() -> None:
    """What the call raises is the call's; only our own limit becomes our error."""

    async def times_out_itself() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await with_timeout(times_out_itself, 3.0, clock=FakeClock())


async def test_with_no_time_left_nothing_is_begun() -> None:
    """A call whose time is over before it starts is not made."""
    script = Script(FakeClock())
    with pytest.raises(UpstreamTimeoutError):
        await with_timeout(script, 0.0, clock=script.clock)
    assert script.made_at == []


async def test_the_callers_deadline_shortens_but_never_lengthens() -> None:
    """Nested deadlines: the earliest holds, and afterwards the outer one again."""
    clock = FakeClock()
    assert limit(5.0, clock) == 5.0
    with deadline_within(2.0, clock):
        assert limit(5.0, clock) == pytest.approx(2.0)
        with deadline_within(60.0, clock):
            assert limit(None, clock) == pytest.approx(2.0)
        clock.step(0.5)
        assert limit(1.0, clock) == 1.0
        assert limit(None, clock) == pytest.approx(1.5)
    assert current_deadline.get() is None


# --- retry ---------------------------------------------------------------------------------------


async def test_pauses_double() -> None:
    """Three retries come after 1, 2 and 4 seconds (at the jitter's upper end)."""
    clock, events = FakeClock(), list[Event]()
    start = clock.monotonic()
    script = Script(clock, *[UpstreamUnavailableError("no")] * 3)
    assert await finish(clock, retry(clock, events).call(script)) == "done"
    assert [at - start for at in script.made_at] == pytest.approx([0, 1, 3, 7])
    assert [event.delay for event in events if isinstance(event, AttemptFailed)] == [1.0, 2.0, 4.0]


async def test_the_last_error_is_raised_when_retries_are_used_up() -> None:
    """No more attempts than allowed."""
    clock = FakeClock()
    script = Script(clock, *[UpstreamUnavailableError(str(n)) for n in range(9)])
    with pytest.raises(UpstreamUnavailableError, match="3"):
        await finish(clock, retry(clock).call(script))
    assert len(script.made_at) == 4


@pytest.mark.parametrize(
    "error", [UpstreamRejectedError("no", answered=400), CircuitOpenError("open"), KeyError("bug")]
)
async def test_what_no_repetition_mends_is_not_repeated(error: Exception) -> None:
    """Refusals, open circuits and mistakes in the program are raised at once."""
    clock = FakeClock()
    script = Script(clock, error)
    with pytest.raises(type(error)):
        await retry(clock).call(script)
    assert len(script.made_at) == 1


async def test_what_must_not_be_repeated_is_not() -> None:
    """The caller's word that an attempt is not repeatable overrides a passing error."""
    clock = FakeClock()
    script = Script(clock, UpstreamUnavailableError("no"))
    with pytest.raises(UpstreamUnavailableError):
        await retry(clock).call(script, retryable=lambda _: False)
    assert len(script.made_at) == 1


async def test_retry_after_is_obeyed() -> None:
    """The next attempt comes no sooner than asked."""
    clock = FakeClock()
    script = Script(clock, UpstreamUnavailableError("no", retry_after=9.0))
    await finish(clock, retry(clock).call(script))
    assert script.made_at[1] - script.made_at[0] >= 9.0


async def test_retry_after_beyond_the_deadline_is_answered_at_once() -> None:
    """Whoever cannot wait as long as asked gets the failure now, not after a wait for nothing."""
    clock = FakeClock()
    script = Script(clock, UpstreamUnavailableError("no", retry_after=9.0))
    with pytest.raises(UpstreamUnavailableError):
        await retry(clock).call(script, deadline=clock.monotonic() + 5)
    assert len(script.made_at) == 1


async def test_jitter_yields_to_the_deadline_but_what_was_asked_does_not() -> None:
    """With 4.5 s asked and 5 s left, the attempt is made between the two."""
    clock = FakeClock()
    start = clock.monotonic()
    script = Script(clock, UpstreamUnavailableError("no", retry_after=4.5))
    await finish(clock, retry(clock).call(script, deadline=start + 5))
    assert 4.5 <= script.made_at[1] - start < 5


async def test_an_empty_budget_ends_the_retries() -> None:
    """Retries stop when the share is used up, however many each call would be allowed."""
    clock = FakeClock()
    budget = Budget(ratio=0.0, minimum_per_second=0.0, reserve=2, clock=clock)
    script = Script(clock, *[UpstreamUnavailableError("no")] * 9)
    with pytest.raises(UpstreamUnavailableError):
        await finish(clock, retry(clock, budget=budget).call(script))
    assert len(script.made_at) == 3


async def test_a_cancelled_pause_makes_no_further_attempt() -> None:
    """Who cancels during a pause is done."""
    clock = FakeClock()
    script = Script(clock, UpstreamUnavailableError("no"))
    task = asyncio.create_task(retry(clock).call(script))
    await clock.advance(0.5)
    task.cancel()
    await clock.advance(10)
    assert task.cancelled()
    assert len(script.made_at) == 1


# --- circuit breaker -----------------------------------------------------------------------------


def breaker(clock: FakeClock, events: list[Event]) -> CircuitBreaker:
    policy = BreakerPolicy(minimum_calls=2, open_for=5, trials=1)
    return CircuitBreaker("svc", policy, clock=clock, observer=events.append)


async def fail(error: Exception) -> None:
    raise error


async def test_the_breaker_opens_refuses_tries_and_closes() -> None:
    """The whole round, and every change is told once."""
    clock, events = FakeClock(), list[Event]()
    circuit = breaker(clock, events)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailableError):
            await circuit.call(lambda: fail(UpstreamUnavailableError("no")))
    script = Script(clock)
    with pytest.raises(CircuitOpenError) as refused:
        await circuit.call(script)
    assert refused.value.retry_after == pytest.approx(5.0)
    assert script.made_at == []
    await clock.advance(5)
    assert await circuit.call(script) == "done"
    assert [event.state for event in events if isinstance(event, CircuitChanged)] == [
        *("closed", "open", "half_open", "closed")
    ]


async def test_refusals_show_a_service_that_works() -> None:
    """4xx answers and our own full bulkhead never open the circuit."""
    clock, events = FakeClock(), list[Event]()
    circuit = breaker(clock, events)
    for error in [UpstreamRejectedError("no", answered=404), BulkheadFullError("full")] * 5:
        with pytest.raises(type(error)):
            await circuit.call(lambda error=error: fail(error))  # type: ignore[misc]
    assert circuit.state == "closed"


async def test_a_cancelled_trial_lets_the_next_one_try() -> None:
    """A caller that leaves during the only trial does not keep the circuit half-open for ever."""
    clock, events = FakeClock(), list[Event]()
    circuit = breaker(clock, events)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailableError):
            await circuit.call(lambda: fail(UpstreamUnavailableError("no")))
    await clock.advance(5)
    trial = asyncio.create_task(circuit.call(lambda: clock.sleep(60)))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait([trial])
    assert await circuit.call(Script(clock)) == "done"
    assert circuit.state == "closed"


# --- bulkhead ------------------------------------------------------------------------------------


def bulkhead(clock: FakeClock, events: list[Event] | None = None, *, queue: int = 2) -> Bulkhead:
    observer = None if events is None else events.append
    return Bulkhead("svc", concurrency=2, queue=queue, queue_timeout=3.0, clock=clock, observer=observer)


def sleeping(clock: FakeClock, seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: clock.sleep(seconds)


async def test_never_more_calls_under_way_than_slots() -> None:
    """Twenty callers, two slots: two at a time, in the order of arrival."""
    clock = FakeClock()
    room = Bulkhead("svc", concurrency=2, queue=100, queue_timeout=None, clock=clock)
    running, peak, order = 0, 0, list[int]()

    async def work(n: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        order.append(n)
        await clock.sleep(1)
        running -= 1

    tasks = [asyncio.create_task(room.call(lambda n=n: work(n))) for n in range(20)]  # type: ignore[misc]
    await clock.advance(11)
    assert all(task.done() for task in tasks)
    assert (peak, order, room.in_use, room.waiting) == (2, list(range(20)), 0, 0)


async def test_a_full_queue_refuses_at_once() -> None:
    """Slots and queue full: the next caller is told without waiting."""
    clock, events = FakeClock(), list[Event]()
    room = bulkhead(clock, events)
    tasks = [asyncio.create_task(room.call(sleeping(clock, 1))) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(BulkheadFullError):
        await room.call(sleeping(clock, 1))
    assert events == [BulkheadRefused("svc")]
    await clock.advance(3)
    assert all(task.done() for task in tasks)


async def test_waiting_in_the_queue_has_an_end() -> None:
    """A slot that does not come in time is a refusal, and the place in the queue is free again."""
    clock = FakeClock()
    room = bulkhead(clock)
    tasks = [asyncio.create_task(room.call(sleeping(clock, 10))) for _ in range(3)]
    await clock.advance(3.5)
    with pytest.raises(BulkheadFullError, match="in time"):
        await tasks[2]
    assert (room.in_use, room.waiting) == (2, 0)
    await clock.advance(10)
    assert room.in_use == 0
    await asyncio.gather(*tasks[:2])


async def test_no_slot_is_lost_when_a_waiting_caller_leaves_as_it_gets_one() -> None:
    """Cancelled in the very turn in which the slot was handed over: the slot goes on to the next."""
    clock = FakeClock()
    room = bulkhead(clock)
    release = [asyncio.Event(), asyncio.Event()]
    running = [asyncio.create_task(room.call(event.wait)) for event in release]
    await asyncio.sleep(0)
    leaving = asyncio.create_task(room.call(sleeping(clock, 1)))
    staying = asyncio.create_task(room.call(Script(clock)))
    await asyncio.sleep(0)
    release[0].set()
    while room.waiting == 2:
        await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "done"
    release[1].set()
    await asyncio.wait([*running, leaving])
    assert (room.in_use, room.waiting) == (0, 0)


@pytest.mark.parametrize("turns", range(6))
async def test_slots_add_up_whenever_callers_are_cancelled(turns: int) -> None:
    """Cancel half of the callers after any number of turns: in the end all slots are free."""
    clock = FakeClock()
    room = Bulkhead("svc", concurrency=2, queue=20, queue_timeout=3.0, clock=clock)
    tasks = [asyncio.create_task(room.call(sleeping(clock, 0.5))) for _ in range(10)]
    for _ in range(turns):
        await asyncio.sleep(0)
    clock.step(0.5)
    for task in tasks[::2]:
        task.cancel()
    await clock.advance(20)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (room.in_use, room.waiting) == (0, 0)


# --- fallback ------------------------------------------------------------------------------------


async def test_a_fallback_says_that_it_is_one() -> None:
    """What stands in for the real answer is marked, with the reason; the real one is not."""
    clock, events = FakeClock(), list[Event]()

    async def instead(error: Exception) -> str:
        return "old"

    good = await with_fallback("svc", Script(clock), instead, observer=events.append)
    assert (good.value, good.degraded, events) == ("done", False, [])
    bad = await with_fallback("svc", Script(clock, UpstreamUnavailableError("no")), instead, observer=events.append)
    assert (bad.value, bad.degraded, bad.reason) == ("old", True, "upstream_unavailable")
    assert events == [FallbackUsed("svc", "upstream_unavailable")]


async def test_a_fallback_covers_no_mistakes() -> None:
    """A mistake in the program is not an outage."""

    async def instead(error: Exception) -> str:
        return "old"

    with pytest.raises(KeyError):
        await with_fallback("svc", Script(FakeClock(), KeyError("bug")), instead)
