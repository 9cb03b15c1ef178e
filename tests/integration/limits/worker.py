"""One process of several that share a limit: fifty tasks that ask, and what each was told, as JSON lines.

Told by its arguments; begins when a line comes on standard input, ends when another does and every task has been
refused since.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tailrace.core.gcra import parse_rate
from tailrace.events import Event, LimitStateLost
from tailrace.limits import Claim, LeasedLimiter, Limit, MemoryLimiter, ResilientLimiter, SharedBuckets, ValkeyLimiter
from tailrace.settings import ValkeySettings

TASKS = 50


async def main() -> None:
    options = json.loads(sys.argv[1])
    lost = 0

    def observe(event: Event) -> None:
        nonlocal lost
        lost += isinstance(event, LimitStateLost)

    buckets = SharedBuckets(
        options["url"],
        settings=ValkeySettings(timeout=options.get("timeout", 5.0), reconnect_max_delay=0.1),
        durable=options.get("durable", False),
        observer=observe,
    )
    limiter = ResilientLimiter(
        ValkeyLimiter(buckets),
        LeasedLimiter(buckets),
        local=MemoryLimiter(decided_by="share"),
        processes=options.get("processes", 1),
    )
    limit = Limit("shared", parse_rate(options["rate"]), options.get("mode", "exact"), options.get("outage", "closed"))
    claims = [Claim(limit, "one caller")]
    assert await buckets.connect()
    told: list[tuple[bool, int, str]] = []
    ending = asyncio.Event()

    async def ask() -> None:
        while True:
            last = ending.is_set()
            verdict = limiter.take_now(claims) or await limiter.take(claims)
            decision = verdict.decisions[0]
            told.append((verdict.allowed, decision.now if decision else 0, verdict.decided_by))
            if not verdict.allowed:
                if last:
                    return
                await asyncio.sleep(min(0.05, max(0.005, verdict.retry_after / 1e6)))

    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    tasks = [asyncio.create_task(ask()) for _ in range(TASKS)]
    await loop.run_in_executor(None, sys.stdin.readline)
    ending.set()
    await asyncio.gather(*tasks)
    print(json.dumps({"told": told, "lost": lost}), flush=True)
    await limiter.aclose()


asyncio.run(main())
