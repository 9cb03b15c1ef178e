"""How long each endpoint takes: as it was, with cold caches, and warm. Touches: the network.

The three are interleaved in one run, one request at a time, so that whatever else the machine does falls on all of
them. Cold means that Tailrace keeps no answer anywhere, and each sample is checked to have been no hit; the database's
buffers are warm. Half of the samples are of the user with the most rows, so that the 95th percentile is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tailrace.errors import TailraceError
from tailrace.verify.client import Exchange, Request
from tailrace.verify.statistics import percentile
from tailrace_services.prove.answers import cache_outcome
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import Endpoint, Person

__all__ = ["WARM_UPS", "Budget", "Timing", "time_endpoint"]


class NotAnsweredError(TailraceError):
    """The optimised service failed a request that was to be timed."""

    code = "not_answered"


TURNS = 40
"""Different requests that are taken in turn."""
WARM_UPS = 5
"""How often the first of them is made beforehand: as often as PostgreSQL takes to settle on a plan."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much to measure. Seconds; samples.

    ``cutoff``: a baseline request that takes longer is given up and counts as that long. The baseline gets
    ``baseline_samples``, or as many as fit into ``baseline_seconds``, and at least one.
    """

    cutoff: float = 30.0
    baseline_samples: int = 20
    baseline_seconds: float = 30.0
    cold_samples: int = 100
    warm_samples: int = 400
    seconds: float = 20.0


@dataclass(slots=True)
class Timing:
    """Seconds of every sample. ``cut`` baseline requests were given up at the limit, and count as that long."""

    before: list[float] = field(default_factory=list)
    cut: int = 0
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    warm_hits: int = 0
    not_cold: int = 0

    @property
    def before_p95(self) -> float:
        """Seconds; a lower bound when a request was cut off."""
        return percentile(self.before, 0.95)

    @property
    def cold_p95(self) -> float:
        """Seconds."""
        return percentile(self.cold, 0.95)

    @property
    def warm_p95(self) -> float:
        """Seconds."""
        return percentile(self.warm, 0.95)


async def time_endpoint(
    site: Site,
    endpoint: Endpoint,
    people: Sequence[Person],
    budget: Budget,
    *,
    told: Callable[[float], None] = lambda share: None,
) -> Timing:
    """Measure one endpoint; ``people`` are the one with the most rows, and others if there are any.

    Raises:
        NotAnsweredError: the optimised service did not answer 200.
    """
    others = people[1:] or people
    turns = [endpoint.request(people[0] if n % 2 == 0 else others[n // 2 % len(others)], n // 2) for n in range(TURNS)]
    timing, clock = Timing(), site.optimised.clock.monotonic
    await _warm_up(site, turns)
    rounds = max(1, min(20, budget.cold_samples))
    end, spent = clock() + budget.seconds, 0.0
    for number in range(rounds):
        if len(timing.before) < budget.baseline_samples and (spent < budget.baseline_seconds or not timing.before):
            began = clock()
            if not await _time_baseline(site, turns[number % TURNS], budget, timing):
                await _warm_up(site, turns)  # what was given up has swept its own rows through the database's buffers
            spent += clock() - began
            end += clock() - began  # the baseline's time is not taken from the others
        for sample in range(-(-budget.cold_samples // rounds)):
            await _time_cold(site, turns[(number + sample) % TURNS], timing)
        for sample in range(-(-budget.warm_samples // rounds)):
            await _time_warm(site, turns[(4 * number + sample % 4) % TURNS], timing, first=sample < 4)
        told((number + 1) / rounds)
        if clock() > end:
            break
    return timing


async def _warm_up(site: Site, turns: Sequence[Request]) -> None:
    """Connections, imports, plans and the first look at rows on disk belong to neither cold nor warm."""
    distinct = {request.encode("distinct"): request for request in turns}
    for request in (*[turns[0]] * WARM_UPS, *distinct.values()):
        await site.empty_caches()
        _answered(await site.optimised.exchange(request))


async def _time_baseline(site: Site, request: Request, budget: Budget, timing: Timing) -> bool:
    """Whether it ended by itself."""
    exchange = await site.baseline.exchange(request, timeout=budget.cutoff)
    if exchange.error == "timeout":
        timing.cut += 1
        timing.before.append(budget.cutoff)
        await site.restart_baseline()
        return False
    timing.before.append(_answered(exchange).latency)
    return True


async def _time_cold(site: Site, request: Request, timing: Timing) -> None:
    for _ in range(20):
        await site.empty_caches()
        exchange = _answered(await site.optimised.exchange(request))
        if exchange.response is not None and cache_outcome(exchange.response) != "hit":
            timing.cold.append(exchange.latency)
            return
        timing.not_cold += 1  # the word had not reached the server's own memory yet
    raise NotAnsweredError(f"{request.name} still comes from a cache after it was emptied 20 times")


async def _time_warm(site: Site, request: Request, timing: Timing, *, first: bool) -> None:
    if first:
        _answered(await site.optimised.exchange(request))
    exchange = _answered(await site.optimised.exchange(request))
    timing.warm.append(exchange.latency)
    if exchange.response is not None:
        timing.warm_hits += cache_outcome(exchange.response) == "hit"


def _answered(exchange: Exchange) -> Exchange:
    if exchange.response is None or exchange.response.status != 200:
        what = exchange.error or (exchange.response and f"{exchange.response.status} {exchange.response.body[:300]!r}")
        raise NotAnsweredError(f"{exchange.request.name} {exchange.request.target} was answered {what}")
    return exchange
