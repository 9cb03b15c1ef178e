"""Many calls at once, bounded, with whatever succeeded. Touches: the event loop.

One call that fails or is late costs its own result and nothing else. The calls are children of the caller: when it is
cancelled, or a call fails in a way that is a mistake in the program, all of them are cancelled and have ended before
the batch does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tailrace.clock import Clock
from tailrace.errors import TailraceError, UpstreamTimeoutError
from tailrace.resilience.deadline import limit
from tailrace.resilience.timeout import with_timeout

__all__ = ["Partial", "gather_partial"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Partial(Generic[K, T]):
    """Results and errors by key, each in the order of the calls; every key is in exactly one of them."""

    results: dict[K, T] = field(default_factory=dict)
    errors: dict[K, Exception] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True if every call succeeded."""
        return not self.errors


async def gather_partial(
    calls: Mapping[K, Callable[[], Awaitable[T]]],
    *,
    clock: Clock,
    concurrency: int | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    catch: tuple[type[Exception], ...] = (TailraceError,),
) -> Partial[K, T]:
    """Await all ``calls``.

    Args:
        concurrency: most calls under way; None: all of them.
        timeout: seconds for each call, from its own start.
        total_timeout: seconds for all; the caller's deadline shortens it. Calls that have not ended by then appear in
            ``errors`` as ``UpstreamTimeoutError``, those that ended keep their results.
        catch: errors that are one call's own affair; any other ends the batch and is raised.
    """
    batch = _Batch(calls, clock, timeout, catch)
    workers = [asyncio.create_task(batch.work()) for _ in range(min(concurrency or len(calls), len(calls)))]
    try:
        await _join(workers, limit(total_timeout, clock), clock)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return batch.outcome(total_timeout)


async def _join(workers: list[asyncio.Task[None]], seconds: float | None, clock: Clock) -> None:
    """Wait until all have ended, one has failed, or the time is up."""
    if not workers:
        return
    try:
        done, _ = await with_timeout(
            lambda: asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION), seconds, clock=clock
        )
    except UpstreamTimeoutError:
        return
    for worker in done:
        worker.result()


class _Batch(Generic[K, T]):
    """The calls of one batch and what has come of them so far."""

    def __init__(
        self,
        calls: Mapping[K, Callable[[], Awaitable[T]]],
        clock: Clock,
        timeout: float | None,
        catch: tuple[type[Exception], ...],
    ) -> None:
        self._calls = calls
        self._queue = iter(calls.items())
        self._clock = clock
        self._timeout = timeout
        self._catch = catch
        self._results: dict[K, T] = {}
        self._errors: dict[K, Exception] = {}

    async def work(self) -> None:
        """Take calls from the queue until none is left."""
        for key, call in self._queue:
            try:
                self._results[key] = await with_timeout(call, self._timeout, clock=self._clock, what=str(key))
            except self._catch as error:
                self._errors[key] = error

    def outcome(self, total_timeout: float | None) -> Partial[K, T]:
        """Everything by key, in the order of the calls."""
        late = "no answer within the time for all" + (f", {total_timeout:.3g} s" if total_timeout is not None else "")
        partial: Partial[K, T] = Partial()
        for key in self._calls:
            if key in self._results:
                partial.results[key] = self._results[key]
            else:
                partial.errors[key] = self._errors.get(key) or UpstreamTimeoutError(f"{key}: {late}")
        return partial
