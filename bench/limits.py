"""A rate limit's decision alone, ours beside other packages: in memory, and on Valkey with fifty under way at once.

The floor in memory is what nothing can go below in Python: reading the clock, a number looked up and one written.
On Valkey it is our script, sent by as many tasks over the same connection, with nothing before and after. Valkey's own
CPU is in none. slowapi asks Redis without yielding, so its fifty go one after another, as they do in a service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request

from bench import peers
from bench.contender import TIGHT, Fact, NotWorkingError, Spend, Surroundings, Table
from tailrace.core.gcra import parse_rate
from tailrace.limits import Claim, LeasedLimiter, Limit, MemoryLimiter, SharedBuckets, ValkeyLimiter
from tailrace.settings import ValkeySettings

__all__ = ["TABLES"]

AT_ONCE = 50
CALLER = "203.0.113.9"

Admits = Callable[[Any], bool]
Make = Callable[[Surroundings, AsyncExitStack], Awaitable[Callable[[], Any]]]
"""Makes what decides, once a call; what it opens is left to the stack to close."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A contender that decides whether one caller may go on.

    Attributes:
        name, peers, needs: as every contender's.
        make: makes it.
        admits: what an answer means; None for a floor, which decides nothing.
        waits: it is awaited, with ``AT_ONCE`` under way.
    """

    name: str
    make: Make
    admits: Admits | None = bool
    peers: tuple[str, ...] = ()
    waits: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """Those that are awaited ask Valkey."""
        return frozenset({"valkey"}) if self.waits else frozenset()

    async def prove(self, surroundings: Surroundings) -> Sequence[Fact]:
        """A hundred are admitted, and not one more."""
        if self.admits is None:
            return ()
        async with AsyncExitStack() as stack:
            decide = await self.make(surroundings, stack)
            admitted = 0
            for _ in range(TIGHT + 20):
                answer = decide()
                admitted += self.admits(await answer if self.waits else answer)
        if admitted != TIGHT:
            raise NotWorkingError(f"admitted {admitted}, allowed {TIGHT}")
        return ()

    @asynccontextmanager
    async def ready(self, surroundings: Surroundings) -> AsyncIterator[Spend]:
        """Connected; the last decision of each round must have admitted."""
        async with AsyncExitStack() as stack:
            decide = await self.make(surroundings, stack)
            spend = at_once if self.waits else in_a_row

            async def spend_admitted(decisions: int) -> float:
                took, last = await spend(decide, decisions)
                if self.admits is not None and not self.admits(last):
                    raise NotWorkingError("refused while it was measured")
                return took

            yield spend_admitted


async def in_a_row(decide: Callable[[], Any], decisions: int) -> tuple[float, Any]:
    """CPU microseconds of a decision, one after another; and what the last said."""
    answer = None
    began = time.process_time_ns()
    for _ in range(decisions):
        answer = decide()
    return (time.process_time_ns() - began) / decisions / 1000, answer


async def at_once(decide: Callable[[], Any], decisions: int) -> tuple[float, Any]:
    """The same, with ``AT_ONCE`` under way all the time."""
    each = -(-decisions // AT_ONCE)
    answer = None

    async def task() -> None:
        nonlocal answer
        for _ in range(each):
            answer = await decide()

    began = time.process_time_ns()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(task())
    return (time.process_time_ns() - began) / each / AT_ONCE / 1000, answer


# --- ours -------------------------------------------------------------------------------------------------------------


def _limit(surroundings: Surroundings, name: str, **arguments: Any) -> Limit:
    return Limit(name, parse_rate(surroundings.rate), **arguments)


def _allowed(answer: Any) -> bool:
    return bool(answer.allowed)


async def floor(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """A number looked up, compared with the clock and written."""
    kept, monotonic = {CALLER: 0.0}, time.monotonic

    def decide() -> bool:
        now = monotonic()
        known = kept[CALLER]
        kept[CALLER] = now
        return known < now

    return decide


async def in_memory(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """One decision."""
    return partial(MemoryLimiter().decide, _limit(surroundings, "bench"), CALLER)


async def in_memory_as_a_layer(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """A verdict on all the limits of a request, as the layer asks for it."""
    return partial(MemoryLimiter().take_now, [Claim(_limit(surroundings, "bench"), CALLER)])


async def buckets_of(surroundings: Surroundings, stack: AsyncExitStack) -> SharedBuckets:
    """Connected ones."""
    buckets = SharedBuckets(surroundings.valkey_url, settings=ValkeySettings(timeout=10.0))
    stack.push_async_callback(buckets.aclose)
    await buckets.connect()
    return buckets


async def script_alone(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """The script sent bare."""
    buckets, rate = await buckets_of(surroundings, stack), _limit(surroundings, "floor").rate
    call = ValkeyLimiter(buckets)._take.command(
        (buckets.key("", "lost"), buckets.key("floor", CALLER)), (rate.span, rate.interval), whole=False
    )
    await ValkeyLimiter(buckets).take([Claim(_limit(surroundings, "floor"), CALLER)])  # the server knows the script now
    return lambda: buckets.link.send(call, 1)


async def exact(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """Each decision asks the server."""
    limiter = ValkeyLimiter(await buckets_of(surroundings, stack))
    return partial(limiter.take, [Claim(_limit(surroundings, "exact"), CALLER)])


async def leased(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """From what is in hand, else from the server."""
    limiter = LeasedLimiter(await buckets_of(surroundings, stack))
    claims = [Claim(_limit(surroundings, "leased", mode="leased"), CALLER)]

    async def decide() -> Any:
        return limiter.take_now(claims) or await limiter.take(claims)

    return decide


# --- other packages ---------------------------------------------------------------------------------------------------


async def limits_in_memory(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """``limits``, a fixed window."""
    import limits

    limiter = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    return partial(limiter.hit, limits.parse(surroundings.rate), CALLER)


async def limits_on_valkey(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """The same on the server."""
    import limits
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import FixedWindowRateLimiter

    storage = RedisStorage(f"async+{surroundings.valkey_url}", implementation="redispy")
    return partial(FixedWindowRateLimiter(storage).hit, limits.parse(surroundings.rate), CALLER)


async def throttled_in_memory(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """throttled-py, by GCRA."""
    import throttled

    quota = peers.quota(surroundings)
    using = throttled.RateLimiterType.GCRA.value
    return partial(throttled.Throttled(using=using, quota=quota, store=throttled.MemoryStore()).limit, CALLER)


async def throttled_on_valkey(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """The same on the server."""
    import throttled
    from throttled.asyncio import RedisStore, Throttled

    quota = peers.quota(surroundings)
    store = RedisStore(server=surroundings.valkey_url)
    return partial(Throttled(using=throttled.RateLimiterType.GCRA.value, quota=quota, store=store).limit, CALLER)


async def pyrate_in_memory(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """pyrate-limiter, which fastapi-limiter asks."""
    from pyrate_limiter import Limiter

    return partial(Limiter(peers.per_caller(surroundings)).try_acquire, CALLER, blocking=False)


async def pyrate_on_valkey(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
    """The same on the server."""
    from pyrate_limiter import Limiter

    limiter = Limiter(peers.per_caller(surroundings, surroundings.valkey_url))
    return partial(limiter.try_acquire_async, CALLER, blocking=False)


def of_slowapi(*, valkey: bool) -> Make:
    """slowapi's check of one request, as its decorator makes it."""

    async def make(surroundings: Surroundings, stack: AsyncExitStack) -> Callable[[], Any]:
        import slowapi
        from slowapi.errors import RateLimitExceeded

        limiter = slowapi.Limiter(lambda request: CALLER, storage_uri=surroundings.valkey_url if valkey else None)

        @limiter.limit(surroundings.rate)
        def endpoint(request: Request) -> None:
            return None

        request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""})

        def decide() -> bool:
            request.scope["state"] = {}
            try:
                limiter._check_request_limit(request, endpoint, False)
            except RateLimitExceeded:
                return False
            return True

        async def decide_later() -> bool:
            return decide()

        return decide_later if valkey else decide

    return make


def _not_limited(answer: Any) -> bool:
    return not answer.limited


TABLES = (
    Table(
        "limits, in memory",
        (
            Decision("floor", floor, None),
            Decision("Tailrace", in_memory, _allowed),
            Decision("Tailrace, as the layer asks", in_memory_as_a_layer, _allowed),
            Decision("limits", limits_in_memory, peers=("limits",)),
            Decision("throttled-py", throttled_in_memory, _not_limited, peers=("throttled-py",)),
            Decision("fastapi-limiter (pyrate-limiter)", pyrate_in_memory, peers=("fastapi-limiter", "redis")),
            Decision("slowapi", of_slowapi(valkey=False), peers=("slowapi",)),
        ),
        baseline="floor",
        operation="decision",
    ),
    Table(
        f"limits, on Valkey, {AT_ONCE} at once",
        (
            Decision("floor", script_alone, None, waits=True),
            Decision("Tailrace, exact", exact, _allowed, waits=True),
            Decision("Tailrace, leased", leased, _allowed, waits=True),
            Decision("limits", limits_on_valkey, peers=("limits", "redis"), waits=True),
            Decision("throttled-py", throttled_on_valkey, _not_limited, peers=("throttled-py", "redis"), waits=True),
            Decision(
                "fastapi-limiter (pyrate-limiter)", pyrate_on_valkey, peers=("fastapi-limiter", "redis"), waits=True
            ),
            Decision("slowapi, one by one", of_slowapi(valkey=True), peers=("slowapi", "redis"), waits=True),
        ),
        baseline="floor",
        operation="decision",
    ),
)
