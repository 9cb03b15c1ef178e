"""Agents while the voice provider is down. Touches: the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.verify.client import Request
from tailrace.verify.statistics import percentile
from tailrace_services.prove.conditions import cold
from tailrace_services.prove.goals import below
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.report import Goal
from tailrace_services.prove.simulation import Simulation
from tailrace_services.prove.site import Site
from tailrace_services.prove.timing import WARM_UPS

__all__ = ["Outage", "goals_of", "outage"]

KNOWN = 0.1
"""Seconds within which an answer comes once the outage has been noticed."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds. ``first``: the request that met the outage; ``p95``: once it is known."""

    first: float
    p95: float
    samples: int
    degraded: int
    statuses: dict[int, int]


async def outage(proving: Proving) -> None:
    """The phase of the proof: the largest customer asks for agents."""
    customer = proving.people[0]
    endpoint = next(endpoint for endpoint in proving.subject.endpoints if endpoint.name == "agents")
    assert proving.stage.simulation is not None
    found = await measure(proving.site, proving.stage.simulation, endpoint.request(customer, 0))
    proving.goals += goals_of(found)
    proving.notes.append(
        f"provider down: {found.samples} agents answers of {len(customer.agents)} agents, caches emptied "
        f"before each, from the first one within 100 ms on; the slowest until then took {found.first * 1000:.0f} ms"
    )


async def measure(site: Site, provider: Simulation, request: Request, samples: int = 40) -> Outage:
    """The provider goes down, after it was asked as ever. Every answer is calculated anew, with caches emptied before.

    The first requests find out (their time is ``first`` at worst); from the first answer within 0.1 s on, ``samples``
    are timed. Afterwards the provider is up again.
    """
    clock = site.optimised.clock.monotonic
    for _ in range(WARM_UPS):
        await cold(site, request)
    await provider.behave(outage="reset")
    try:
        began, first = clock(), 0.0
        while True:
            took = (await cold(site, request)).latency
            first = max(first, took)
            if took < KNOWN or clock() - began > 30:
                break
        times, degraded, statuses = [], 0, Counter[int]()
        for _ in range(samples):
            exchange = await cold(site, request)
            times.append(exchange.latency)
            statuses[exchange.response.status if exchange.response else 0] += 1
            degraded += bool(exchange.response and exchange.response.json().get("degraded"))
    finally:
        await provider.behave()
    return Outage(first, percentile(times, 0.95), samples, degraded, dict(statuses))


def goals_of(found: Outage) -> Iterator[Goal]:
    """Quick, 200 and degraded."""
    yield below("agents, provider down, cold", 50, found.p95 * 1000, "ms")
    fine = found.statuses == {200: found.samples} and found.degraded == found.samples
    yield Goal("provider down: 200 and degraded", "all", f"{found.degraded} of {found.samples}", fine)
