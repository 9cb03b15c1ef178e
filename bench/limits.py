"""CPU time of a rate limit decision, ours beside its peers', in memory and on Valkey with fifty under way at once.

Rounds are interleaved and the quickest of each is taken, so that what else the machine does falls on all alike. Shown
in microseconds of CPU time of this process a decision; Valkey's own is not in it. The floor in memory is what
nothing can go below in Python: reading the clock, looking one number up and writing another. On Valkey it is the script
sent by as many tasks over the same connection, with nothing before and after.

slowapi asks Redis without yielding, so its fifty go one after another, as they do in a service.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import limits
import limits.aio
import limits.aio.storage
import limits.aio.strategies
import pyrate_limiter
import slowapi
import throttled
import throttled.asyncio
from starlette.requests import Request

from bench import Measurement
from tailrace.core.gcra import parse_rate
from tailrace.embedded import ValkeyServer
from tailrace.limits import Claim, LeasedLimiter, Limit, MemoryLimiter, SharedBuckets, ValkeyLimiter
from tailrace.settings import ValkeySettings

ROUNDS = 60
DECISIONS = 1000
AT_ONCE = 50
EACH = 20
"""Decisions of each task, one after another: in a server tasks are there anyway."""
RATE = "900000000/day"
"""So wide that nothing is refused, since a refusal is another path."""
LIMIT = Limit("bench", parse_rate(RATE))
LEASED = Limit("leased", parse_rate(RATE), "leased")
PER_DAY = 900_000_000
CALLER = "203.0.113.9"

Decide = Callable[[], Any]
DecideLater = Callable[[], Awaitable[Any]]


def floor() -> Decide:
    """A number looked up, compared with the clock and written."""
    kept, monotonic = {CALLER: 0.0}, time.monotonic

    def decide() -> bool:
        now = monotonic()
        known = kept[CALLER]
        kept[CALLER] = now
        return known < now

    return decide


def of_slowapi(storage: str | None = None) -> Decide:
    """Its check of one request, as its decorator makes it."""
    limiter = slowapi.Limiter(key_func=lambda request: CALLER, storage_uri=storage)

    @limiter.limit(RATE)
    def endpoint(request: Request) -> None:
        return None

    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "app": None})

    def decide() -> None:
        request.scope["state"] = {}
        limiter._check_request_limit(request, endpoint, False)

    return decide


def in_memory() -> dict[str, Decide]:
    """Decisions that take no waiting."""
    ours = MemoryLimiter()
    claims = [Claim(LIMIT, CALLER)]
    item = limits.parse(RATE)
    peer = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    gcra = throttled.Throttled(
        using=throttled.RateLimiterType.GCRA.value, quota=throttled.per_day(PER_DAY), store=throttled.MemoryStore()
    )
    pyrate = pyrate_limiter.Limiter(pyrate_limiter.Rate(PER_DAY, pyrate_limiter.Duration.DAY))
    return {
        "floor": floor(),
        "tailrace": partial(ours.decide, LIMIT, CALLER),
        "tailrace, as the layer asks": partial(ours.take_now, claims),
        "limits": partial(peer.hit, item, CALLER),
        "throttled-py": partial(gcra.limit, CALLER),
        "fastapi-limiter (pyrate-limiter)": partial(pyrate.try_acquire, CALLER, blocking=False),
        "slowapi": of_slowapi(),
    }


def on_valkey(url: str, buckets: SharedBuckets, leased: LeasedLimiter) -> dict[str, DecideLater]:
    """Decisions that ask the server, or would if nothing were in hand."""
    exact, claims = ValkeyLimiter(buckets), [Claim(LIMIT, CALLER)]
    in_hand = [Claim(LEASED, CALLER)]
    storage = limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
    peer, item = limits.aio.strategies.FixedWindowRateLimiter(storage), limits.parse(RATE)
    gcra = throttled.asyncio.Throttled(
        using=throttled.RateLimiterType.GCRA.value,
        quota=throttled.per_day(PER_DAY),
        store=throttled.asyncio.RedisStore(server=url),
    )
    blocking = of_slowapi(url)
    rate = LIMIT.rate
    call = exact._take.command(
        (buckets.key("", "lost"), buckets.key("floor", CALLER)), (rate.span, rate.interval), whole=False
    )

    async def bare() -> Any:
        return await buckets.link.send(call, 1)

    async def by_lease() -> Any:
        return leased.take_now(in_hand) or await leased.take(in_hand)

    async def by_slowapi() -> None:
        blocking()

    return {
        "floor": bare,
        "tailrace": partial(exact.take, claims),
        "tailrace, leased": by_lease,
        "limits": partial(peer.hit, item, CALLER),
        "throttled-py": partial(gcra.limit, CALLER),
        "slowapi (one after another)": by_slowapi,
    }


def quickest(subjects: Mapping[str, Decide]) -> dict[str, float]:
    """Microseconds of CPU a decision, by the quickest of interleaved rounds."""
    best = dict.fromkeys(subjects, float("inf"))
    for _ in range(ROUNDS):
        for name, decide in subjects.items():
            began = time.process_time()
            for _ in range(DECISIONS):
                decide()
            best[name] = min(best[name], (time.process_time() - began) / DECISIONS * 1e6)
    return best


async def quickest_at_once(subjects: Mapping[str, DecideLater]) -> dict[str, float]:
    """The same, with ``AT_ONCE`` under way all the time."""
    best = dict.fromkeys(subjects, float("inf"))
    for _ in range(ROUNDS):
        for name, decide in subjects.items():
            began = time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(_told(decide))
            best[name] = min(best[name], (time.process_time() - began) / AT_ONCE / EACH * 1e6)
    return best


async def _told(decide: DecideLater) -> None:
    for _ in range(EACH):
        await decide()


async def shared(url: str) -> tuple[dict[str, float], float]:
    """What is measured on the server, and a leased decision without a task."""
    buckets = SharedBuckets(url, settings=ValkeySettings(timeout=10.0))
    leased = LeasedLimiter(buckets)
    try:
        await leased.take([Claim(LEASED, CALLER)])
        await ValkeyLimiter(buckets).take([Claim(LIMIT, CALLER)])
        at_once = await quickest_at_once(on_valkey(url, buckets, leased))
        alone = quickest({"leased": partial(leased.take_now, [Claim(LEASED, CALLER)])})["leased"]
    finally:
        await buckets.aclose()
    return at_once, alone


def rows(group: str, found: Mapping[str, float]) -> list[Measurement]:
    """The figures, with the floor as what is bare."""
    return [
        Measurement(group, name, "cpu_per_decision", round(value, 2), "us", round(value / found["floor"], 2))
        for name, value in found.items()
    ]


def main() -> list[Measurement]:
    """Measure, with a Valkey of our own."""
    memory = quickest(in_memory())
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        Path(folder).chmod(0o711)
        with ValkeyServer(Path(folder) / "valkey") as server:
            at_once, alone = asyncio.run(shared(server.url))
    return [
        *rows("limits, memory", memory),
        *rows("limits, memory", {"floor": memory["floor"], "tailrace, leased, in hand": alone})[1:],
        *rows("limits, Valkey", at_once),
    ]
