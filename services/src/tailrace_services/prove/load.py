"""The service under load: one endpoint at a time, the mix with its writes, and a crowd. Touches: the network."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from tailrace.verify.client import Exchange, Request
from tailrace.verify.cookies import Cookies
from tailrace.verify.driver import LoadResult, closed_loop, open_loop
from tailrace.verify.pacer import Pacer
from tailrace_services.prove.answers import cache_outcome
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import Endpoint, Person, Subject, Writer

__all__ = ["WRITE_SHARE", "MixResult", "mix", "throughput"]

WRITE_SHARE = 0.01
"""Share of writes in the mix: one of a hundred requests, or one statement by SQL for a hundred requests."""


@dataclass(slots=True)
class MixResult:
    """How the mix went. ``outcomes`` counts, for each endpoint, whence its answers came."""

    load: LoadResult = field(default_factory=LoadResult)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)

    def hit_ratio(self, endpoint: str | None = None) -> float | None:
        """Share of answers that took no computation of their own: of one endpoint or of all. None if none could.

        Whoever waits for what is computed for somebody else costs the database nothing, and counts as nginx with
        ``proxy_cache_lock`` and Varnish count them, as a hit; ``collapsed_ratio`` says how many these are.
        """
        return self._share({"hit", "collapsed"}, endpoint)

    def pure_ratio(self) -> float | None:
        """Share of answers that were there when they were asked for. None if there were no answers."""
        return self._share({"hit"}, None)

    def collapsed_ratio(self) -> float | None:
        """Share of answers that waited for a computation under way. None if there were no answers."""
        return self._share({"collapsed"}, None)

    def _share(self, wanted: Collection[str], endpoint: str | None) -> float | None:
        counted: Counter[str] = Counter()
        for name, outcomes in self.outcomes.items():
            if endpoint in (None, name):
                counted.update(outcomes)
        return sum(counted[each] for each in wanted) / counted.total() if counted else None


async def throughput(
    site: Site, endpoint: Endpoint, people: Sequence[Person], *, users: int = 50, seconds: float = 3.0
) -> LoadResult:
    """``users`` at once asking for one endpoint, each for a user of their own as far as there are so many."""
    requests = [endpoint.request(person, 0) for person in people]
    for request in requests[:users]:
        await site.optimised.exchange(request)
    return await closed_loop(
        site.optimised, lambda user, turn: requests[user % len(requests)], users=users, duration=seconds
    )


async def mix(
    site: Site,
    people: Sequence[Person],
    *,
    users: int,
    seconds: float,
    random: Random,
    write_share: float = WRITE_SHARE,
    warm: bool = True,
    rate: float | None = None,
) -> MixResult:
    """``users``, each in a browser of their own, reading by the endpoints' shares and writing now and then.

    Args:
        warm: everybody has looked once before it counts.
        rate: requests a second, each by one of the users, at moments of which none depends on another (Poisson), as
            people come who know nothing of each other; None: all users at once, each asking as soon as answered.
    """
    browsers = [_Browser(people[number % len(people)], site.subject, random) for number in range(users)]
    by_key = {}
    if warm:
        await _look_once(site, browsers)
    result = MixResult()
    asked = 0

    def next_request(user: int, _turn: int) -> Request:
        nonlocal asked
        asked += 1
        request = browsers[user].next(write_share)
        by_key[id(request)] = (request, browsers[user])
        return request

    def watch(exchange: Exchange) -> None:
        _, browser = by_key.pop(id(exchange.request))
        if exchange.response is None:
            return
        browser.take(exchange)
        outcome = cache_outcome(exchange.response)
        if outcome is not None and browser.reads(exchange.request) and exchange.response.status == 200:
            result.outcomes.setdefault(exchange.request.name, Counter())[outcome] += 1

    async with _written_to(site, people, random, lambda: int(asked * write_share)):
        if rate is None:
            result.load = await closed_loop(site.optimised, next_request, users=users, duration=seconds, watch=watch)
        else:
            due = Pacer(rate, seconds, jitter=random)
            result.load = await open_loop(site.optimised, _by_anybody(next_request, users, random), due, watch=watch)
    return result


def _by_anybody(next_request: Callable[[int, int], Request], users: int, random: Random) -> Iterator[Request]:
    while True:
        yield next_request(random.randrange(users), 0)


@asynccontextmanager
async def _written_to(
    site: Site, people: Sequence[Person], random: Random, due: Callable[[], int]
) -> AsyncIterator[None]:
    """Until the end of the block, as many writes by SQL as are ``due``, where nothing is written through the API."""
    if site.subject.new_writer is not None:
        yield
        return

    async def write() -> None:
        done = 0
        while True:
            while done < due():
                await site.subject.sql_write(site.execute, random.choice(people), random, site.now)
                done += 1
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


async def _look_once(site: Site, browsers: Sequence[_Browser]) -> None:
    """Everybody opens every page, a few at a time."""
    waiting = [endpoint.request(browser.person, 0) for browser in browsers for endpoint in site.subject.endpoints]

    async def some() -> None:
        while waiting:
            await site.optimised.exchange(waiting.pop())

    await asyncio.gather(*(some() for _ in range(8)))


class _Browser:
    """One user's browser: sends the cookies back that it was given."""

    def __init__(self, person: Person, subject: Subject, random: Random) -> None:
        self.person = person
        self._random = random
        self._cookies = Cookies()
        self._writer: Writer | None = subject.new_writer(person) if subject.new_writer else None
        self._reads = [endpoint.request(person, 0) for endpoint in subject.endpoints]
        self._names = {endpoint.name for endpoint in subject.endpoints}
        self._shares = [endpoint.share for endpoint in subject.endpoints]

    def next(self, write_share: float) -> Request:
        """A read, or with the given probability a write."""
        if self._writer is not None and self._random.random() < write_share:
            return self._with_cookies(self._writer.usual(self._random))
        return self._with_cookies(self._random.choices(self._reads, self._shares)[0])

    def reads(self, request: Request) -> bool:
        """Whether it is one of the endpoints that are asked for."""
        return request.name in self._names

    def take(self, exchange: Exchange) -> None:
        """Remember cookies, and what a write came to."""
        assert exchange.response is not None
        self._cookies.take(exchange.response)
        if self._writer is not None and exchange.response.status < 300 and not self.reads(exchange.request):
            self._writer.take(exchange.request, exchange.response)

    def _with_cookies(self, request: Request) -> Request:
        headers = {**request.headers, **self._cookies.headers()}
        return Request(request.name, request.target, request.method, headers, request.body)
