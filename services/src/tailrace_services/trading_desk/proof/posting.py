"""Items that are posted: alone, as they come, and many at once, with everything on: layers, invalidation, the log.

What is asked and aimed for is held against it. As they come: an open loop, in which a time counts from the moment that
an item was due, so that whoever waits behind others is seen to wait. A few users who never pause show rate and time
together. Many post to one server process, to two, and, for comparison, to one of the original's code on the same
tables. Touches: the network, processes, and the optimised database alone, since the original's is what the next proof
is put back from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from tailrace.verify.client import Connections, Exchange, Request
from tailrace.verify.driver import closed_loop, open_loop
from tailrace.verify.pacer import Pacer
from tailrace.verify.statistics import percentile
from tailrace_services.prove.databases import mark_written
from tailrace_services.prove.goals import above, below
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.processes import ServerProcess
from tailrace_services.prove.report import Goal
from tailrace_services.trading_desk.proof.writes import DeskWriter

__all__ = ["Posted", "Together", "goals_of", "posting"]

CREATED = 201
WARM_UPS = 20
"""Items posted to each process before it counts."""
ALONE = 300
"""Items posted one after another."""
FEW = 8
"""Users who never pause: as many as are under way where 800 a second take 10 ms each (Little's law)."""
USERS = 20
SECONDS = 5.0
RATE = 800.0
"""Items a second, where they come by themselves."""


@dataclass(frozen=True, slots=True)
class Together:
    """Seconds of each that many stored at once, how many a second, and how many were not stored."""

    times: list[float]
    rate: float
    failed: int = 0

    def __str__(self) -> str:
        slowest = f", p95 {percentile(self.times, 0.95) * 1000:.1f} ms" if self.times else ""
        return f"{self.rate:,.0f} a second{slowest}"


@dataclass(frozen=True, slots=True)
class Posted:
    """Seconds of each that was stored alone, how many were not; those of ``RATE``, ``FEW``, and ``USERS`` each way."""

    alone: list[float]
    failed: int
    arriving: Together
    by_few: Together
    by_one: Together
    by_two: Together
    original: Together


async def posting(proving: Proving) -> None:
    """The phase of the proof."""
    await mark_written(proving.subject, proving.stage.databases)
    posted = await _post(proving)
    proving.goals += goals_of(posted)
    proving.notes.append(
        f"items posted: alone p50 {percentile(posted.alone, 0.5) * 1000:.2f} ms, p95 "
        f"{percentile(posted.alone, 0.95) * 1000:.2f} ms ({len(posted.alone)}); as {RATE:,.0f} a second come "
        f"{posted.arriving}; by {FEW} users who never pause {posted.by_few}; by {USERS} {posted.by_one}; to two "
        f"processes {posted.by_two}; with the original's code on the same tables {posted.original}"
    )


def goals_of(posted: Posted) -> Iterator[Goal]:
    """What was asked and what is aimed for; a refusal is a failure."""
    alone = percentile(posted.alone, 0.95) * 1000
    yield below("POST items, asked", 100, alone, "ms")
    yield below("POST items", 8, alone, "ms")
    if posted.arriving.times:
        yield below(f"POST items, {RATE:,.0f} a second", 10, percentile(posted.arriving.times, 0.95) * 1000, "ms")
    if posted.by_few.times:
        yield below(f"POST items, {FEW} users", 10, percentile(posted.by_few.times, 0.95) * 1000, "ms")
    yield above(f"POST items, {FEW} users", RATE, posted.by_few.rate, "req/s")
    yield above(f"POST items, {USERS} users", RATE, posted.by_one.rate, "req/s")
    yield above(f"POST items, {USERS} users, two processes", RATE, posted.by_two.rate, "req/s")
    many = (posted.arriving, posted.by_few, posted.by_one, posted.by_two)
    failed = posted.failed + sum(each.failed for each in many)
    tried = len(posted.alone) + sum(len(each.times) for each in many) + failed
    yield Goal("POST items: errors", "0", f"{failed} of {tried:,}", failed == 0)


async def _post(proving: Proving) -> Posted:
    site, random = proving.site, proving.random
    writers = [DeskWriter(person) for person in proving.people]

    def next_request(user: int, _turn: int) -> Request:
        return writers[user % len(writers)].usual(random)

    async def one_by_one(to: Connections, many: int) -> list[Exchange]:
        return [await to.exchange(next_request(turn, turn)) for turn in range(many)]

    async def together(*to: Connections, users: int = USERS) -> Together:
        """``users`` who never pause, half of them at each if there are two."""
        many: list[Exchange] = []
        for each in to:
            await one_by_one(each, WARM_UPS)
        loads = await asyncio.gather(
            *(
                closed_loop(each, next_request, users=users // len(to), duration=SECONDS, watch=many.append)
                for each in to
            )
        )
        stored = [each.latency for each in many if _stored(each)]
        return Together(stored, len(stored) / max(load.duration for load in loads), len(many) - len(stored))

    async def arriving() -> Together:
        """One after another at moments of which none depends on another or on any answer (Poisson)."""
        many: list[Exchange] = []
        requests = (next_request(number, number) for number in count())
        load = await open_loop(site.optimised, requests, Pacer(RATE, SECONDS, jitter=random), watch=many.append)
        stored = [each.latency for each in many if _stored(each)]
        return Together(stored, len(stored) / load.duration, len(many) - len(stored))

    original = await together(site.reference)
    by_one = await together(site.optimised)
    exchanges = await one_by_one(site.optimised, ALONE)
    alone = [each.latency for each in exchanges if _stored(each)]
    come = await arriving()
    by_few = await together(site.optimised, users=FEW)
    async with _another(proving) as another:
        by_two = await together(site.optimised, another)
    return Posted(alone, len(exchanges) - len(alone), come, by_few, by_one, by_two, original)


@asynccontextmanager
async def _another(proving: Proving) -> AsyncIterator[Connections]:
    """A second process of the optimised service, beside the one there is."""
    first = proving.stage.optimised
    second = ServerProcess("another", first.app, first.environment, first.log.parent, ready=proving.subject.ready)
    await second.start()
    try:
        async with Connections(second.url, timeout=30) as connections:
            yield connections
    finally:
        await second.stop()


def _stored(exchange: Exchange) -> bool:
    return exchange.response is not None and exchange.response.status == CREATED
