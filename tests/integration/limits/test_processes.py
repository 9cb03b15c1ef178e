"""Four processes of fifty tasks each on one limit, while the server does what servers do.

A hundred in sixty seconds are a hundred at once and then one every 0.6 s. So the number that must have been admitted is
known exactly from the server's own clock: between the first admission and the last refusal, a hundred and one for each
whole interval.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from tests.unit.asgi.driver import ask
from tests.waiting import wait_until

from tailrace import Tailrace, limited
from tailrace.core.gcra import Rate, parse_rate
from tailrace.embedded import ValkeyServer
from tailrace.errors import StoreUnavailableError
from tailrace.events import LimitStateLost, StoreConnectionChanged
from tailrace.limits import Claim, Limit, SharedBuckets, ValkeyLimiter
from tailrace.settings import Settings, ValkeySettings

PROCESSES = 4
RATE = parse_rate("100/60s")
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Told:
    """What all processes together were told: whether, when (the server's clock; 0 if it was not asked), by whom."""

    verdicts: list[tuple[bool, int, str]]
    lost: int

    def admitted(self, decided_by: str) -> int:
        return sum(allowed for allowed, _, by in self.verdicts if by == decided_by)

    @property
    def moments(self) -> list[int]:
        return [now for now, _ in self.decided]

    @property
    def decided(self) -> list[tuple[int, bool]]:
        """What the server decided, and when, in its order: at one moment nobody is admitted behind a refusal."""
        decided = [(now, allowed) for allowed, now, by in self.verdicts if by == "valkey"]
        return sorted(decided, key=lambda each: (each[0], not each[1]))

    def due(self, rate: Rate) -> int:
        """What a bucket gives from the first moment to the last."""
        return rate.burst + (max(self.moments) - min(self.moments)) // rate.interval

    def replayed(self, rate: Rate) -> list[tuple[int, bool]]:
        """What one bucket says at the same moments: nothing is lost and nothing counted twice where it is the same."""
        arrival, said = 0, []
        for now in self.moments:
            decision = rate.decide(arrival, now)
            arrival = decision.arrival
            said.append((now, decision.allowed))
        return said


class Processes:
    """Those that run; ``told`` once they have ended."""

    def __init__(self, workers: list[asyncio.subprocess.Process]) -> None:
        self._workers = workers
        self.told = Told([], 0)

    def say(self, word: bytes) -> None:
        for worker in self._workers:
            assert worker.stdin is not None
            worker.stdin.write(word + b"\n")

    async def finish(self) -> Told:
        self.say(b"end")
        told: list[Any] = []
        lost = 0
        for worker in self._workers:
            assert worker.stdout is not None
            answer = json.loads(await worker.stdout.readline())
            told += [tuple(verdict) for verdict in answer["told"]]
            lost += answer["lost"]
            assert await worker.wait() == 0
        self.told = Told(told, lost)
        return self.told


@asynccontextmanager
async def processes(url: str, **options: Any) -> AsyncIterator[Processes]:
    """Four of them, connected, that begin together."""
    arguments = json.dumps({"url": url, "rate": "100/60s", "processes": PROCESSES, **options})
    pipe = asyncio.subprocess.PIPE
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), arguments, stdin=pipe, stdout=pipe, limit=64 * 1024 * 1024
        )
        for _ in range(PROCESSES)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n"
        running = Processes(workers)
        running.say(b"begin")
        yield running
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()


@pytest.fixture
def own_valkey(server_folder: Path) -> Iterator[ValkeyServer]:
    """A server that a test may restart."""
    with ValkeyServer(server_folder / "limits-valkey") as server:
        server.flush()
        yield server


async def keys_there(server: ValkeyServer) -> bool:
    return (await asyncio.to_thread(server.execute, "DBSIZE")) != "0"


async def test_exactly_a_hundred(valkey_url: str) -> None:
    """Two hundred tasks in four processes ask at once, until each is refused."""
    async with processes(valkey_url) as running:
        told = await running.finish()
    assert told.admitted("valkey") == told.due(RATE)
    began = min(told.moments)
    assert sum(allowed for allowed, now, _ in told.verdicts if now < began + RATE.interval) == 100


async def test_exactly_as_many_across_windows(valkey_url: str) -> None:
    """A hundred a second, asked without a pause over the turn of several seconds: no window gives its hundred twice."""
    rate = parse_rate("100/s")
    async with processes(valkey_url, rate="100/s") as running:
        await asyncio.sleep(2.2)  # the time over which is asked, not one that is waited for something
        told = await running.finish()
    assert max(told.moments) // 1_000_000 - min(told.moments) // 1_000_000 >= 2
    assert told.admitted("valkey") == told.due(rate)


async def test_exactly_as_many_while_scripts_are_flushed(valkey_url: str, valkey: ValkeyServer) -> None:
    """A server that forgets its scripts forgets no bucket, and no decision is made twice."""
    rate = parse_rate("500/s")
    async with processes(valkey_url, rate="500/s") as running:
        for _ in range(10):
            await asyncio.sleep(0.05)  # some decisions between two flushes
            await asyncio.to_thread(valkey.execute, "SCRIPT", "FLUSH")
        told = await running.finish()
    assert {by for _, _, by in told.verdicts} == {"valkey"}
    # Not a count of what is due: a machine that is busy with other things may leave the bucket full for a while.
    assert told.decided == told.replayed(rate)


async def test_a_server_that_lost_everything_gives_no_second_burst(own_valkey: ValkeyServer) -> None:
    """Killed and started empty while it is asked: what was used stays used, and the loss is reported."""
    async with processes(own_valkey.url) as running:
        await wait_until(lambda: keys_there(own_valkey))
        await asyncio.to_thread(own_valkey.kill)
        await asyncio.to_thread(own_valkey.start)
        await wait_until(lambda: keys_there(own_valkey))
        told = await running.finish()
    assert told.lost >= 1
    assert told.admitted("valkey") <= told.due(RATE)
    assert any(not allowed and by == "closed" for allowed, _, by in told.verdicts), "the outage was not met"


async def test_a_durable_server_forgets_nothing(server_folder: Path) -> None:
    """With every write on disk before it is answered: a hundred, of which sixty before it was killed."""
    settings = {"appendonly": "yes", "appendfsync": "always"}
    limit = Limit("shared", RATE)
    with ValkeyServer(server_folder / "durable-valkey", settings=settings) as server:
        buckets = SharedBuckets(server.url, settings=ValkeySettings(timeout=10.0), durable=True)
        limiter = ValkeyLimiter(buckets)
        verdicts = [await limiter.take([Claim(limit, "a")]) for _ in range(60)]
        before = buckets.link.epoch
        await asyncio.to_thread(server.kill)
        await wait_until(lambda: buckets.link.epoch is None)
        await asyncio.to_thread(server.start)
        await wait_until(lambda: buckets.link.epoch not in (None, before))
        while verdicts[-1].allowed:
            verdicts.append(await limiter.take([Claim(limit, "a")]))
        await limiter.aclose()
    moments = [decision.now for verdict in verdicts for decision in verdict.decisions if decision is not None]
    assert sum(verdict.allowed for verdict in verdicts) == 100 + (moments[-1] - moments[0]) // RATE.interval


async def test_a_loss_empties_every_bucket_once(own_valkey: ValkeyServer) -> None:
    """After a loss nobody has a burst; the second process to notice does not begin it again; one that starts later
    finds the note."""
    limit = Limit("quick", parse_rate("1000/s", burst=1000))
    patient = ValkeySettings(timeout=10.0, reconnect_max_delay=0.05)
    first, second, late = (SharedBuckets(own_valkey.url, settings=patient) for _ in range(3))
    for buckets in (first, second):
        assert (await ValkeyLimiter(buckets).take([Claim(limit, "a")])).allowed
    await asyncio.to_thread(own_valkey.restart)
    for buckets in (first, second):
        await wait_until(lambda buckets=buckets: buckets.link.epoch is not None)  # type: ignore[misc]
    backlogs = []
    for buckets in (first, second, late):
        verdict = await ValkeyLimiter(buckets).take([Claim(limit, f"never seen {len(backlogs)}")])
        [decision] = verdict.decisions
        assert decision is not None
        backlogs.append(decision.arrival - limit.rate.span - (limit.rate.interval if decision.allowed else 0))
        moment = decision.now
    assert len({backlog for backlog in backlogs if backlog + limit.rate.span > moment}) <= 1
    assert backlogs[0] <= moment
    for buckets in (first, second, late):
        await buckets.aclose()


async def test_who_was_connected_notices_a_loss(own_valkey: ValkeyServer) -> None:
    """A process that has connected and decided nothing yet knows the server's life as well: no second burst by it."""
    limit = Limit("few", parse_rate("5/60s"))
    patient = ValkeySettings(timeout=10.0, reconnect_max_delay=0.05)
    asking, waiting = (SharedBuckets(own_valkey.url, settings=patient) for _ in range(2))
    assert await waiting.connect()
    before = waiting.link.epoch
    assert all([(await ValkeyLimiter(asking).take([Claim(limit, "a")])).allowed for _ in range(5)])
    await asking.aclose()
    await asyncio.to_thread(own_valkey.restart)
    await wait_until(lambda: waiting.link.epoch not in (None, before))
    assert not (await ValkeyLimiter(waiting).take([Claim(limit, "a")])).allowed
    await waiting.aclose()


async def test_who_found_no_server_at_its_start_notices_a_loss(own_valkey: ValkeyServer) -> None:
    """Once it is connected, in the background and without having decided anything, it knows the server's life."""
    limit = Limit("few", parse_rate("5/60s"))
    patient = ValkeySettings(timeout=10.0, reconnect_max_delay=0.05)
    url = own_valkey.url
    await asyncio.to_thread(own_valkey.kill)
    waiting = SharedBuckets(url, settings=patient)
    assert not await waiting.connect()
    await asyncio.to_thread(own_valkey.start)
    await wait_until(lambda: waiting.link.epoch is not None)
    before = waiting.link.epoch
    await asyncio.to_thread(own_valkey.restart)
    await wait_until(lambda: waiting.link.epoch not in (None, before))
    assert not (await ValkeyLimiter(waiting).take([Claim(limit, "a")])).allowed
    await waiting.aclose()


async def test_an_application_notices_a_loss_from_its_start_on(own_valkey: ValkeyServer) -> None:
    """Its first decision, behind a restart of the store, knows that something may be missing."""
    heard: list[Any] = []
    app = FastAPI()
    app.get("/")(limited("5/hour")(nothing))
    settings = Settings(database_url=None, valkey_url=SecretStr(own_valkey.url))
    async with Tailrace(app, settings, observer=heard.append).running():
        connected = StoreConnectionChanged("limits", True)
        await wait_until(lambda: heard.count(connected) == 1)
        await asyncio.to_thread(own_valkey.restart)
        await wait_until(lambda: heard.count(connected) == 2)
        assert (await ask(app)).status == 429, "whoever asks may have used up the bucket that was lost"
        assert LimitStateLost("limits") in heard


async def nothing() -> None:
    return None


async def test_an_outage_adds_no_more_than_the_shares(own_valkey: ValkeyServer) -> None:
    """While the server is down four processes admit by themselves what one limit allows, all together."""
    async with processes(own_valkey.url, outage="share") as running:
        await wait_until(lambda: keys_there(own_valkey))
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(own_valkey.kill)
        await asyncio.sleep(1.0)  # the outage
        told = await running.finish()
        lasted = asyncio.get_running_loop().time() - began
    shares = told.admitted("share")
    assert 0 < shares <= PROCESSES * (25 + int(lasted / (4 * 0.6)) + 1)
    assert told.admitted("valkey") <= told.due(RATE)


async def test_leases_admit_what_there_is(valkey_url: str) -> None:
    """Four processes that take by the slice admit what an exact limiter would, but for slices held at the end."""
    async with processes(valkey_url, mode="leased") as running:
        began = asyncio.get_running_loop().time()
        told = await running.finish()
        lasted = asyncio.get_running_loop().time() - began
    admitted = told.admitted("lease")
    assert 100 - PROCESSES * 10 <= admitted <= 100 + int(lasted / 0.6) + 1


async def test_a_loss_that_cannot_be_noted_is_an_outage(own_valkey: ValkeyServer) -> None:
    """While the server refuses the note nothing is decided; once it takes it, buckets are empty."""
    limit = Limit("hourly", parse_rate("100/hour"))
    buckets = SharedBuckets(own_valkey.url, settings=ValkeySettings(timeout=10.0, reconnect_max_delay=0.05))
    limiter = ValkeyLimiter(buckets)
    assert (await limiter.take([Claim(limit, "a")])).allowed
    before = buckets.link.epoch
    await asyncio.to_thread(own_valkey.restart)
    # Writes are refused before the process is back.
    await asyncio.to_thread(own_valkey.execute, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    await asyncio.to_thread(own_valkey.execute, "CONFIG", "SET", "maxmemory", "1")
    await wait_until(lambda: buckets.link.epoch not in (None, before))
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await limiter.take([Claim(limit, "b")])
    await asyncio.to_thread(own_valkey.execute, "CONFIG", "SET", "maxmemory", "256mb")
    assert not (await limiter.take([Claim(limit, "b")])).allowed
    await limiter.aclose()


async def test_one_flush_of_scripts_is_not_noticed(valkey_url: str, valkey: ValkeyServer) -> None:
    """Neither alone nor together: ten decisions behind a flush take ten units."""
    limit = Limit("hourly", parse_rate("100/hour"))
    buckets = SharedBuckets(valkey_url, settings=ValkeySettings(timeout=10.0))
    limiter = ValkeyLimiter(buckets)
    for left in (99, 88, 77):
        assert (await limiter.take([Claim(limit, "a")])).allowed
        valkey.execute("SCRIPT", "FLUSH")
        verdicts = await asyncio.gather(*[limiter.take([Claim(limit, "a")]) for _ in range(10)])
        remaining = min(decision.remaining for verdict in verdicts for decision in verdict.decisions if decision)
        assert remaining == left - 10
    await limiter.aclose()
