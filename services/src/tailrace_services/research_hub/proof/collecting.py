"""Posts collected from a site: as it was, for the first time, and again, and that both say and keep the same.

Each sample of *before* and of *cold* is of a page or feed that the service has never seen, so both find, read and store
it; *warm* is the same address again. What was collected is removed at the end, since the original's database is what
the next proof is put back from. Touches: the network, both databases.
"""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tailrace.verify.client import Connections, Request
from tailrace.verify.http1 import Response
from tailrace_services.data.connection import open_connection
from tailrace_services.prove.answers import compare_responses
from tailrace_services.prove.databases import mark_written
from tailrace_services.prove.goals import timing_goals
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.questions import NotAnsweredError
from tailrace_services.prove.report import Goal
from tailrace_services.prove.subject import Endpoint, Simulator
from tailrace_services.prove.timing import Timing
from tailrace_services.research_hub.proof.people import Member

__all__ = ["SITE", "collecting"]

NAME = "collected"
SAMPLES, BEFORE = 100, 20
"""Addresses; as many of the first are asked of the original, too."""
AGAIN = 5
"""How often each address is asked for once more."""
HOST = "127.0.0.1"


def _allowed(url: str) -> dict[str, str]:
    port = urlsplit(url).port
    return {"TAILRACE_OUTBOUND__PORTS": f"[{port}]", "TAILRACE_OUTBOUND__ALLOWED_NETWORKS": f"{HOST}/32"}


SITE = Simulator("tailrace_services.research_hub.proof.publisher:Publisher", _allowed, latency_ms=50)
"""Loopback addresses are refused; the servers of the proof may ask this one, at this port."""


async def collecting(proving: Proving) -> None:
    """The phase of the proof."""
    site, simulation = proving.site, proving.stage.simulation
    assert simulation is not None
    await mark_written(proving.subject, proving.stage.databases)
    members = cycle(proving.people)  # each may ask thirty times a minute
    endpoint, timing = Endpoint(NAME, lambda member, _: _request(member, simulation.url), asked=100, share=0), Timing()
    try:
        for service in (site.baseline, site.optimised, site.reference):
            await _collect(service, next(members), f"{simulation.url}/posts/warm-up")
        async with simulation.as_in_life():
            for number in range(SAMPLES):
                url = f"{simulation.url}/{('posts', 'feeds')[number % 2]}/{number}"
                await _sample(proving, timing, number, url, next(members))
                proving.told("collecting", number / SAMPLES)
        proving.goals.append(await _guarded(site.optimised, simulation.url, proving.people[0]))
    finally:
        for database in (proving.stage.databases.url, proving.stage.databases.baseline_url):
            await _remove(database)
    proving.endpoints.append(endpoint)
    proving.timings[NAME] = timing
    proving.goals += timing_goals(endpoint, timing)
    proving.notes.append(
        f"{NAME}: POST /scrape of pages and feeds of ten posts, from a site that takes {SITE.latency_ms} ms, "
        "which is in before and cold"
    )


async def _sample(proving: Proving, timing: Timing, number: int, url: str, member: Member) -> None:
    site = proving.site
    if number < BEFORE:
        timing.before.append((await _collect(site.baseline, member, url))[1])
    # Whoever comes second finds the posts there, and has to say the same of them.
    after = None if number % 4 < 2 else await _collect(site.reference, member, url)
    response, seconds = await _collect(site.optimised, member, url)
    if after is None:
        timing.cold.append(seconds)
    expected, _ = after or await _collect(site.reference, member, url)
    proving.verdicts.add(NAME, member.id, "first answer", compare_responses(expected, response))
    for _ in range(AGAIN):
        response, seconds = await _collect(site.optimised, member, url)
        timing.warm.append(seconds)
    proving.verdicts.add(NAME, member.id, "second answer", compare_responses(expected, response))


async def _guarded(service: Connections, url: str, member: Member) -> Goal:
    """That the exception for one address is none for others."""
    parts = urlsplit(url)
    others = (f"127.0.0.2:{parts.port}", f"{HOST}:{(parts.port or 0) ^ 1}", "169.254.169.254", "10.0.0.1", "[::1]")
    statuses = []
    for other in others:
        exchange = await service.exchange(_request(member, urlunsplit(parts._replace(netloc=other))))
        statuses.append(exchange.response.status if exchange.response else exchange.error)
    refused = statuses.count(422)
    return Goal("other addresses that are not public", "refused", f"{refused} of {len(others)}", refused == len(others))


async def _collect(service: Connections, member: Member, url: str) -> tuple[Response, float]:
    exchange = await service.exchange(_request(member, url))
    if exchange.response is None or exchange.response.status != 200:
        raise NotAnsweredError(f"{url}: {exchange.error or exchange.response}")
    return exchange.response, exchange.latency


def _request(member: Any, url: str) -> Request:
    headers = {**member.headers, "Content-Type": "application/json"}
    return Request(NAME, "/scrape", "POST", headers, json.dumps({"url": url}).encode())


async def _remove(url: str) -> None:
    async with open_connection(url) as connection:
        await connection.execute("DELETE FROM contents WHERE platform = $1", HOST)
        await connection.execute("DELETE FROM authors WHERE platform = $1", HOST)
