"""The phases of the proof against small servers that are right, or wrong in one way."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
import uvicorn

from tailrace.errors import TailraceError
from tailrace.verify.client import Connections
from tailrace_services.prove.comparison import Verdicts, compare_at_rest, compare_under_writes
from tailrace_services.prove.goals import arrivals_goals, mix_goals
from tailrace_services.prove.load import MixResult, mix, throughput
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import Subject
from tailrace_services.prove.timing import Budget, time_endpoint
from tailrace_services.voice_dashboard.proof import SUBJECT
from tailrace_services.voice_dashboard.proof.customers import Customer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = [
    Customer.of(number, f"vd_{number}_key", (number * 10, number * 10 + 1), 100 - number) for number in range(1, 9)
]
ENDPOINTS = SUBJECT.endpoints


class Rows:
    """What two services share: how often each user was written to; with ``shared``, everybody's answer counts all."""

    def __init__(self, *, shared: bool = False) -> None:
        self.written: dict[int, int] = {}
        self.shared = shared

    def count(self, user: int) -> int:
        return sum(self.written.values()) if self.shared else self.written.get(user, 0)

    def write(self, user: int) -> int:
        self.written[user] = self.written.get(user, 0) + 1
        return self.written[user]


class Service:
    """Answers with a user's number of writes; ``fault`` makes it wrong. With ``cache`` it remembers answers."""

    def __init__(self, rows: Rows, *, cache: bool = False, fault: str = "", delay: float = 0.0) -> None:
        self.rows, self.fault, self.delay = rows, fault, delay
        self.kept: dict[tuple[str, int], bytes] | None = {} if cache else None

    def body(self, path: str, user: int) -> bytes:
        shown = 1 if self.fault == "foreign" and user == 3 else user
        count = self.rows.count(shown)
        return json.dumps({"user": shown, "path": path, "count": count, "calculatedAt": id(object())}).encode()

    async def __call__(
        self, scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        headers = dict(scope["headers"])
        user, path = int(headers[b"x-api-key"].split(b"_")[1]), scope["path"]
        extra = []
        if scope["method"] == "GET":
            status, body = 200, b""
            if self.kept is not None:
                hit = (path, user) in self.kept
                extra.append((b"cache-status", b"tailrace; hit" if hit else b"tailrace; fwd=uri-miss"))
                body = self.kept.get((path, user), b"")
            if not body:
                await asyncio.sleep(self.delay)
                body = self.body(path, user)
                if self.kept is not None:
                    self.kept[path, user] = body
        else:
            number = self.rows.write(user)
            if self.kept is not None and self.fault != "stale":
                self.forget(user)
            status, body = 201, json.dumps({"id": number}).encode()
        extra.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": body})

    def forget(self, user: int) -> None:
        """Invalidate what was kept for ``user``."""
        assert self.kept is not None
        for key in [key for key in self.kept if self.rows.shared or key[1] == user]:
            del self.kept[key]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Connections]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    async with Connections(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5) as connections:
        yield connections
    server.should_exit = True
    await running
    listener.close()


@asynccontextmanager
async def site_of(
    fault: str = "",
    *,
    baseline_delay: float = 0.0,
    optimised_delay: float = 0.0,
    sql_shows_after: float = 0.0,
    subject: Subject = SUBJECT,
) -> AsyncIterator[tuple[Site, Service, list[str]]]:
    rows, restarts = Rows(shared=subject.shared), list[str]()
    optimised = Service(rows, cache=True, fault=fault, delay=optimised_delay)
    loop, later = asyncio.get_running_loop(), set[asyncio.TimerHandle]()

    async def empty_caches() -> None:
        if fault != "keeps":
            assert optimised.kept is not None
            optimised.kept.clear()

    async def execute(_statement: str, user: int, *_: object) -> None:
        rows.write(user)
        if fault not in ("deaf", "stale"):
            later.add(loop.call_later(sql_shows_after, optimised.forget, user))

    async def restart() -> None:
        restarts.append("baseline")

    async with (
        serving(Service(rows, delay=baseline_delay)) as baseline,
        serving(Service(rows)) as reference,
        serving(optimised) as fast,
    ):
        yield (
            Site(subject, PEOPLE, NOW, baseline, reference, fast, empty_caches, restart, execute),
            optimised,
            restarts,
        )
    for handle in later:
        handle.cancel()


async def test_equal_answers_are_counted() -> None:
    """Every endpoint of every user is compared twice: as calculated and as cached."""
    verdicts = Verdicts()
    async with site_of() as (site, _, _):
        await compare_at_rest(site, PEOPLE, verdicts)
    assert verdicts.all_equal
    assert verdicts.compared == {endpoint.name: 2 * len(PEOPLE) for endpoint in ENDPOINTS}
    assert verdicts.users == {person.id for person in PEOPLE}


async def test_somebody_elses_answer_is_found_at_rest() -> None:
    """One user who gets another's figures makes the proof fail, with the place named."""
    verdicts = Verdicts()
    async with site_of("foreign") as (site, _, _):
        await compare_at_rest(site, PEOPLE, verdicts)
    assert not verdicts.all_equal
    assert {mismatch.user for mismatch in verdicts.mismatches} == {3}
    assert "user: expected 3, got 1" in str(verdicts.mismatches[0])


async def test_what_psql_writes_may_show_a_moment_later() -> None:
    """Raw SQL that shows within the bound is right, and the wait is measured."""
    verdicts = Verdicts()
    async with site_of(sql_shows_after=0.02) as (site, _, _):
        await compare_at_rest(site, PEOPLE, verdicts)  # so that there is something old to be seen
        await compare_under_writes(site, PEOPLE, verdicts, seconds=0.6, random=Random(1))
    assert verdicts.all_equal, str(verdicts.mismatches[:1])
    assert verdicts.writes > 0
    assert verdicts.waits
    assert max(verdicts.waits) < 1.0


@pytest.mark.parametrize("fault", ["stale", "deaf"])
async def test_stale_answers_are_found_under_writes(fault: str) -> None:
    """Own writes that do not show at once, and raw SQL that does not show within the bound, are differences."""
    verdicts = Verdicts()
    async with site_of(fault) as (site, _, _):
        await compare_at_rest(site, PEOPLE, verdicts)
        assert verdicts.all_equal
        await compare_under_writes(site, PEOPLE, verdicts, seconds=0.5, random=Random(1))
    assert not verdicts.all_equal
    assert "count: expected" in str(verdicts.mismatches[0])


async def test_everybody_waits_where_rows_are_shared() -> None:
    """Where one's writes change others' answers, nobody writes while anybody is compared: all answers are equal."""
    verdicts = Verdicts()
    async with site_of(subject=replace(SUBJECT, shared=True), sql_shows_after=0.02) as (site, service, _):
        await compare_under_writes(site, PEOPLE, verdicts, seconds=0.6, random=Random(1))
    assert verdicts.all_equal, str(verdicts.mismatches[:1])
    assert verdicts.users == {person.id for person in PEOPLE}
    assert len(service.rows.written) > 1


async def test_the_mix_is_written_to_by_sql_where_nothing_is_written_through_the_api() -> None:
    """As many statements as the share of writes says."""
    async with site_of(subject=replace(SUBJECT, new_writer=None)) as (site, service, _):
        result = await mix(site, PEOPLE, users=8, seconds=0.5, random=Random(1), write_share=0.1)
    assert result.load.errors.total() == 0
    written = sum(service.rows.written.values())
    assert 0 < written <= result.load.requests * 0.1 + 1


async def test_before_cold_and_warm_are_told_apart() -> None:
    """Cold samples are no hits, warm ones are, and the baseline is timed on its own server."""
    budget = Budget(cutoff=5, baseline_samples=3, cold_samples=6, warm_samples=12, seconds=5)
    async with site_of(baseline_delay=0.05) as (site, _, restarts):
        timing = await time_endpoint(site, ENDPOINTS[0], PEOPLE, budget)
    assert (len(timing.before), len(timing.cold), len(timing.warm)) == (3, 6, 12)
    assert timing.warm_hits == 12
    assert timing.not_cold == 0
    assert min(timing.before) >= 0.05
    assert not restarts


async def test_a_baseline_that_takes_too_long_is_cut_off_and_restarted() -> None:
    """It counts as long as the limit, is said to have been cut off, and what it still does is ended."""
    budget = Budget(cutoff=0.05, baseline_samples=2, cold_samples=2, warm_samples=2, seconds=5)
    async with site_of(baseline_delay=0.5) as (site, _, restarts):
        timing = await time_endpoint(site, ENDPOINTS[0], PEOPLE, budget)
    assert timing.cut == 2
    assert timing.before == [0.05, 0.05]
    assert restarts == ["baseline", "baseline"]


async def test_a_cache_that_cannot_be_emptied_is_not_called_cold() -> None:
    """Hits are never passed off as cold samples."""
    async with site_of("keeps") as (site, _, _):
        with pytest.raises(TailraceError, match="still comes from a cache"):
            await time_endpoint(site, ENDPOINTS[0], PEOPLE, Budget(cold_samples=1, warm_samples=1))


def test_whoever_waits_for_another_computation_is_counted_apart() -> None:
    """It counts among the hits, and how many these are is known."""
    result = MixResult(outcomes={"a": Counter({"hit": 6, "collapsed": 3, "uri-miss": 1}), "b": Counter({"stale": 2})})
    assert (result.hit_ratio("a"), result.hit_ratio("b")) == (0.9, 0.0)
    assert (result.hit_ratio(), result.collapsed_ratio()) == (0.75, 0.25)
    assert (MixResult().hit_ratio(), MixResult().collapsed_ratio()) == (None, None)
    (_, aimed, _) = mix_goals(result, (0.7, 0.9), 0.01)
    assert (aimed.measured, aimed.met) == ("75.0%, 25.0% by waiting for somebody else's", False)


def test_as_users_come_waiting_is_no_hit() -> None:
    """Where users are not a flood, an answer that had to be waited for does not count."""
    result = MixResult(outcomes={"a": Counter({"hit": 85, "collapsed": 10, "uri-miss": 5})})
    assert result.pure_ratio() == 0.85
    asked, aimed, _ = arrivals_goals(result, (0.7, 0.9), 0.01)
    assert (asked.met, aimed.met, aimed.measured) == (True, False, "85.0%, waiting not counted")
    assert MixResult().pure_ratio() is None


async def test_the_mix_goes_on_at_its_rate_however_slow_the_server_is() -> None:
    """As users come, nobody waits for the answer of somebody else: as many are asked for as the rate says."""
    async with site_of(optimised_delay=0.2) as (site, service, _):
        result = await mix(site, PEOPLE, users=2, seconds=0.5, random=Random(1), write_share=0.1, rate=200, warm=False)
    # Two users who wait for their answers could ask for five or six of them in that time.
    assert result.load.requests > 50
    assert result.load.errors.total() == 0
    assert service.rows.written


async def test_the_mix_reads_and_writes_and_counts_hits() -> None:
    """Hits are counted by endpoint, writes are made, and nothing fails."""
    async with site_of() as (site, service, _):
        result = await mix(site, PEOPLE, users=8, seconds=0.5, random=Random(1), write_share=0.1)
        alone = await throughput(site, ENDPOINTS[0], PEOPLE, users=4, seconds=0.1)
    assert result.load.errors.total() == 0
    assert service.rows.written
    ratio = result.hit_ratio()
    assert ratio is not None
    assert 0 < ratio < 1
    assert set(result.outcomes) <= {endpoint.name for endpoint in ENDPOINTS}
    assert alone.requests_per_second > 0
