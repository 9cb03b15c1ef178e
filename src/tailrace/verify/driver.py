"""Loads a server and says how every endpoint did. Touches: the network, through ``client``.

``closed_loop`` keeps N users busy, each sending its next request when the last was answered: throughput. ``open_loop``
sends at a fixed rate whether or not answers come, and counts latency from the moment each request was due: what users
wait. Failures are results, counted by kind, never exceptions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tailrace.verify.client import Connections, Exchange, Request
from tailrace.verify.statistics import Summary, summarise

__all__ = ["EndpointResult", "LoadResult", "Watch", "closed_loop", "open_loop"]

Watch = Callable[[Exchange], None]
"""Told every exchange as it ends; must be quick."""

NextRequest = Callable[[int, int], Request]
"""The request that user ``u`` sends as its ``n``-th, both counted from 0."""


@dataclass(slots=True)
class EndpointResult:
    """How one endpoint did. ``latencies`` in seconds, of answers below 500; the rest are ``errors`` by kind."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """Requests sent, failed ones too."""
        return len(self.latencies) + self.errors.total()

    def summary(self) -> Summary | None:
        """Figures of the latencies; None when nothing was answered."""
        return summarise(self.latencies) if self.latencies else None

    def add(self, exchange: Exchange) -> None:
        """Count one exchange."""
        if exchange.response is None:
            self.errors[exchange.error or "unknown"] += 1
            return
        self.statuses[exchange.response.status] += 1
        if exchange.response.status >= 500:
            self.errors[f"status_{exchange.response.status}"] += 1
        else:
            self.latencies.append(exchange.latency)


@dataclass(slots=True)
class LoadResult:
    """How a run went. ``duration`` in seconds, from the first request to the last answer."""

    duration: float = 0.0
    endpoints: dict[str, EndpointResult] = field(default_factory=dict)

    def add(self, exchange: Exchange) -> None:
        """Count one exchange under its request's name."""
        self.endpoints.setdefault(exchange.request.name, EndpointResult()).add(exchange)

    @property
    def requests(self) -> int:
        """Requests sent."""
        return sum(result.requests for result in self.endpoints.values())

    @property
    def requests_per_second(self) -> float:
        """Requests answered below 500, a second."""
        answered = sum(len(result.latencies) for result in self.endpoints.values())
        return answered / self.duration if self.duration > 0 else 0.0

    @property
    def errors(self) -> Counter[str]:
        """Failures by kind, over all endpoints."""
        total: Counter[str] = Counter()
        for result in self.endpoints.values():
            total.update(result.errors)
        return total

    def total(self) -> EndpointResult:
        """All endpoints as one."""
        whole = EndpointResult()
        for result in self.endpoints.values():
            whole.latencies += result.latencies
            whole.statuses.update(result.statuses)
            whole.errors.update(result.errors)
        return whole


async def closed_loop(
    connections: Connections,
    next_request: NextRequest,
    *,
    users: int,
    duration: float,
    think: float = 0.0,
    watch: Watch | None = None,
) -> LoadResult:
    """``users`` at once, each sending as soon as it was answered (and ``think`` seconds have passed), for ``duration``.

    The answers under way at the end are awaited and counted.
    """
    clock = connections.clock.monotonic
    result, began = LoadResult(), clock()
    end = began + duration

    async def user(number: int) -> None:
        turn = 0
        while clock() < end:
            exchange = await connections.exchange(next_request(number, turn))
            turn += 1
            result.add(exchange)
            if watch is not None:
                watch(exchange)
            if exchange.error is not None:
                await asyncio.sleep(0.01)  # a dead server must not turn the loop into a spin
            elif think > 0:
                await asyncio.sleep(think)

    async with asyncio.TaskGroup() as group:
        for number in range(users):
            group.create_task(user(number))
    result.duration = clock() - began
    return result


async def open_loop(
    connections: Connections,
    requests: Iterable[Request],
    due: Iterable[float],
    *,
    limit: int = 1000,
    watch: Watch | None = None,
) -> LoadResult:
    """Send the n-th request at the n-th of ``due`` (seconds from the start), until either ends.

    Args:
        limit: most requests under way; beyond it requests wait, and their latency shows it.
    """
    clock = connections.clock.monotonic
    result, began, slots = LoadResult(), clock(), asyncio.Semaphore(limit)

    async def one(request: Request, moment: float) -> None:
        try:
            exchange = await connections.exchange(request, due=moment)
        finally:
            slots.release()
        result.add(exchange)
        if watch is not None:
            watch(exchange)

    async with asyncio.TaskGroup() as group:
        for request, offset in zip(requests, due, strict=False):
            pause = began + offset - clock()
            if pause > 0:
                await asyncio.sleep(pause)
            await slots.acquire()
            group.create_task(one(request, began + offset))
    result.duration = clock() - began
    return result
