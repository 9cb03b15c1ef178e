"""What is special: sizes, a crowd, and a long time. Touches: the network, the processes' memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tailrace.verify.client import Exchange, Request
from tailrace.verify.statistics import percentile
from tailrace_services.prove.answers import cache_outcome
from tailrace_services.prove.load import mix
from tailrace_services.prove.processes import resident_bytes
from tailrace_services.prove.site import Site
from tailrace_services.prove.stage import Stage
from tailrace_services.prove.subject import Endpoint, Person

__all__ = ["CODINGS", "Crowd", "Soak", "cold", "crowd", "growth", "sizes", "soak"]

CODINGS = ("gzip", "br", "zstd")
"""Content codings, by the names that HTTP has for them."""
AS_BROWSERS = "gzip, deflate, br, zstd"
"""``Accept-Encoding`` of browsers, which leave it to the server which coding it takes."""


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


async def sizes(site: Site, endpoint: Endpoint, people: Sequence[Person]) -> dict[str, float]:
    """By how much each coding makes the endpoint's answers smaller, all of them together, from 0 to 1; and the one that
    browsers get, of all that they know.

    Raises:
        ExchangeFailedError: no answer.
    """
    accepted = {"identity": "identity", **{coding: coding for coding in CODINGS}, "as browsers ask": AS_BROWSERS}
    sent = dict.fromkeys(accepted, 0)
    for number, person in enumerate(people):
        request = endpoint.request(person, number)
        for name, codings in accepted.items():
            headers = {**request.headers, "Accept-Encoding": codings}
            asked = Request(request.name, request.target, request.method, headers, request.body)
            sent[name] += len((await site.optimised.send(asked)).body)
    whole = sent.pop("identity")
    return {name: 1 - size / whole for name, size in sent.items()}


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
    request = endpoint.request(person, 0)
    for _ in range(5):
        await cold(site, request)
    return [(await cold(site, request)).latency for _ in range(samples)]


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


async def cold(site: Site, request: Request) -> Exchange:
    """An exchange whose answer, if there is one, is no hit."""
    while True:
        await site.empty_caches()
        exchange = await site.optimised.exchange(request)
        if exchange.response is None or cache_outcome(exchange.response) != "hit":
            return exchange
