"""Items that are posted, one after another and many at once, with everything on: layers, invalidation, the log.

What is asked and aimed for is held against both. Touches: the network, and the optimised database alone, since the
original's is what the next proof is put back from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.verify.client import Exchange, Request
from tailrace.verify.driver import closed_loop
from tailrace.verify.statistics import percentile
from tailrace_services.prove.databases import mark_written
from tailrace_services.prove.goals import above, below
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.report import Goal
from tailrace_services.trading_desk.proof.writes import DeskWriter

__all__ = ["Posted", "goals_of", "posting"]

CREATED = 201
WARM_UPS = 20
ALONE = 300
"""Items posted one after another."""
USERS = 20
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Posted:
    """Seconds of each that was stored, alone and among ``USERS``; how many of those a second, and how many failed."""

    alone: list[float]
    together: list[float]
    rate: float
    failed: int


async def posting(proving: Proving) -> None:
    """The phase of the proof."""
    await mark_written(proving.subject, proving.stage.databases)
    posted = await _post(proving)
    proving.goals += goals_of(posted)
    proving.notes.append(
        f"items posted: alone p50 {percentile(posted.alone, 0.5) * 1000:.2f} ms, p95 "
        f"{percentile(posted.alone, 0.95) * 1000:.2f} ms ({len(posted.alone)}); by {USERS} users who never pause "
        f"{posted.rate:,.0f} a second, p95 {percentile(posted.together, 0.95) * 1000:.1f} ms"
    )


def goals_of(posted: Posted) -> Iterator[Goal]:
    """What was asked and what is aimed for; a refusal is a failure."""
    alone = percentile(posted.alone, 0.95) * 1000
    yield below("POST items, asked", 100, alone, "ms")
    yield below("POST items", 8, alone, "ms")
    yield above(f"POST items, {USERS} users", 800, posted.rate, "req/s")
    tried = len(posted.alone) + len(posted.together) + posted.failed
    yield Goal("POST items: errors", "0", f"{posted.failed} of {tried:,}", posted.failed == 0)


async def _post(proving: Proving) -> Posted:
    optimised, random = proving.site.optimised, proving.random
    writers = [DeskWriter(person) for person in proving.people]

    def next_request(user: int, _turn: int) -> Request:
        return writers[user % len(writers)].usual(random)

    exchanges = [await optimised.exchange(next_request(turn, turn)) for turn in range(WARM_UPS + ALONE)][WARM_UPS:]
    many: list[Exchange] = []
    load = await closed_loop(optimised, next_request, users=USERS, duration=SECONDS, watch=many.append)
    alone, together = ([each.latency for each in part if _stored(each)] for part in (exchanges, many))
    failed = len(exchanges) + len(many) - len(alone) - len(together)
    return Posted(alone, together, len(together) / load.duration, failed)


def _stored(exchange: Exchange) -> bool:
    return exchange.response is not None and exchange.response.status == CREATED
