"""What is special: a provider that is down, a crowd, and a long time. Touches: the network, the processes' memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tailrace.verify.client import Request
from tailrace.verify.statistics import percentile
from tailrace_services.prove.answers import cache_outcome
from tailrace_services.prove.load import mix
from tailrace_services.prove.processes import resident_bytes
from tailrace_services.prove.site import Site
from tailrace_services.prove.stage import Stage
from tailrace_services.prove.subject import Endpoint, Person, ask

__all__ = ["Crowd", "Outage", "Soak", "crowd", "growth", "outage", "soak"]


@dataclass(frozen=True, slots=True)
class Outage:
    """Agents with the provider down. Seconds. ``first``: the request that met the outage; ``p95``: once it is known."""

    first: float
    p95: float
    samples: int
    degraded: int
    statuses: dict[int, int]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many users at once. ``p95`` in seconds."""

    users: int
    requests: int
    p95: float
    errors: dict[str, int]
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class Soak:
    """Memory of the server over a long run: bytes after warm-up and at the end."""

    seconds: float
    requests: int
    before: int
    after: int
    errors: int

    @property
    def growth(self) -> float:
        """0.01 is one percent more than after warm-up."""
        return self.after / self.before - 1


async def outage(stage: Stage, endpoint: Endpoint, person: Person, samples: int = 40) -> Outage:
    """The provider goes down. Caches are emptied before every request, so that each answer is calculated anew.

    The first requests find out (their time is ``first`` at worst); from the first answer within 0.1 s on, ``samples``
    are timed. Afterwards the provider is up again.
    """
    site, clock = stage.site, stage.site.optimised.clock.monotonic
    request = ask(endpoint, person)
    await stage.provider.behave(outage="reset")
    try:
        began, first = clock(), 0.0
        while True:
            took, _, _ = await _cold(site, request)
            first = max(first, took)
            if took < 0.1 or clock() - began > 30:
                break
        times, degraded, statuses = [], 0, Counter[int]()
        for _ in range(samples):
            took, status, is_degraded = await _cold(site, request)
            times.append(took)
            statuses[status] += 1
            degraded += is_degraded
    finally:
        await stage.provider.behave()
    return Outage(first, percentile(times, 0.95), samples, degraded, dict(statuses))


async def crowd(site: Site, users: int, seconds: float, random: Random) -> Crowd:
    """``users`` at once, each somebody else as far as there are so many, with the mix and its writes.

    Nobody pauses between two requests, which is harder than people are; everybody has looked once before.
    """
    result = await mix(site, site.people, users=users, seconds=seconds, random=random)
    total = result.load.total()
    p95 = percentile(total.latencies, 0.95) if total.latencies else float("inf")
    return Crowd(users, total.requests, p95, dict(total.errors), result.load.requests_per_second)


async def growth(site: Site, endpoint: Endpoint, person: Person, samples: int = 60) -> list[float]:
    """Seconds of cold requests, to be set beside those of another scale."""
    request = ask(endpoint, person)
    for _ in range(5):
        await _cold(site, request)
    return [(await _cold(site, request))[0] for _ in range(samples)]


async def soak(
    stage: Stage, people: list[Person], seconds: float, random: Random, told: Callable[[float], None]
) -> Soak:
    """The mix for a long time; the server's memory after a sixth of it (at most a minute), and at the end."""
    warm_up = min(60.0, seconds / 6)
    requests, errors = 0, 0
    await mix(stage.site, people, users=50, seconds=warm_up, random=random)
    before = resident_bytes(stage.optimised.pid)
    parts = 10
    for part in range(parts):
        result = await mix(stage.site, people, users=50, seconds=(seconds - warm_up) / parts, random=random, warm=False)
        requests += result.load.requests
        errors += result.load.errors.total()
        told((part + 1) / parts)
    return Soak(seconds, requests, before, resident_bytes(stage.optimised.pid), errors)


async def _cold(site: Site, request: Request) -> tuple[float, int, bool]:
    """Seconds, status and whether the answer is degraded, of an answer that is no hit."""
    while True:
        await site.empty_caches()
        exchange = await site.optimised.exchange(request)
        if exchange.response is None:
            return exchange.latency, 0, False
        if cache_outcome(exchange.response) != "hit":
            body = exchange.response.json()
            return exchange.latency, exchange.response.status, bool(body.get("degraded"))
