"""The service under load: one endpoint at a time, the mix with its writes, and a crowd. Touches: the network."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tailrace.verify.client import Exchange, Request
from tailrace.verify.cookies import Cookies
from tailrace.verify.driver import LoadResult, closed_loop
from tailrace_services.prove.answers import cache_outcome
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import Endpoint, Person, ask
from tailrace_services.prove.writes import change_agent, new_call, new_lead

__all__ = ["WRITE_SHARE", "MixResult", "mix", "throughput"]

WRITE_SHARE = 0.01
"""Share of writes in the mix: one of a hundred requests records a call, a lead or a change of an agent."""


@dataclass(slots=True)
class MixResult:
    """How the mix went. ``outcomes`` counts, for each endpoint, what ``Cache-Status`` said."""

    load: LoadResult = field(default_factory=LoadResult)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)

    def hit_ratio(self, endpoint: str | None = None) -> float | None:
        """Hits of all answers that could have been: of one endpoint or of all. None if none could."""
        counted: Counter[str] = Counter()
        for name, outcomes in self.outcomes.items():
            if endpoint in (None, name):
                counted.update(outcomes)
        return counted["hit"] / counted.total() if counted else None


async def throughput(
    site: Site, endpoint: Endpoint, people: Sequence[Person], *, users: int = 50, seconds: float = 3.0
) -> LoadResult:
    """``users`` at once asking for one endpoint, each for a user of their own as far as there are so many."""
    able = [person for person in people if person.agents]
    requests = [ask(endpoint, person) for person in able]
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
) -> MixResult:
    """``users`` at once, each in a browser of their own, reading by the endpoints' shares and writing now and then.

    ``warm``: everybody has looked once before it counts.
    """
    able = [person for person in people if person.agents]
    browsers = [_Browser(able[number % len(able)], site.endpoints, random) for number in range(users)]
    by_key = {}
    if warm:
        await _look_once(site, browsers)
    result = MixResult()

    def next_request(user: int, _turn: int) -> Request:
        request = browsers[user].next(write_share)
        by_key[id(request)] = (request, browsers[user])
        return request

    def watch(exchange: Exchange) -> None:
        _, browser = by_key.pop(id(exchange.request))
        if exchange.response is None:
            return
        browser.take(exchange)
        outcome = cache_outcome(exchange.response)
        if outcome is not None and exchange.request.method == "GET" and exchange.response.status == 200:
            result.outcomes.setdefault(exchange.request.name, Counter())[outcome] += 1

    result.load = await closed_loop(site.optimised, next_request, users=users, duration=seconds, watch=watch)
    return result


async def _look_once(site: Site, browsers: Sequence[_Browser]) -> None:
    """Everybody opens every page, a few at a time."""
    waiting = [ask(endpoint, browser.person) for browser in browsers for endpoint in site.endpoints]

    async def some() -> None:
        while waiting:
            await site.optimised.exchange(waiting.pop())

    await asyncio.gather(*(some() for _ in range(8)))


class _Browser:
    """One user's browser: sends the cookies back that it was given."""

    def __init__(self, person: Person, endpoints: Sequence[Endpoint], random: Random) -> None:
        self.person = person
        self._random = random
        self._cookies = Cookies()
        self._call: int | None = None
        self._reads = [ask(endpoint, person) for endpoint in endpoints]
        self._shares = [endpoint.share for endpoint in endpoints]

    def next(self, write_share: float) -> Request:
        """A read, or with the given probability a write."""
        if self._random.random() < write_share:
            return self._with_cookies(self._write())
        return self._with_cookies(self._random.choices(self._reads, self._shares)[0])

    def take(self, exchange: Exchange) -> None:
        """Remember cookies, and the id of a call that was recorded."""
        assert exchange.response is not None
        self._cookies.take(exchange.response)
        if exchange.request.name == "POST calls" and exchange.response.status == 201:
            self._call = exchange.response.json()["id"]

    def _write(self) -> Request:
        kind = self._random.random()
        if kind < 0.2:
            return change_agent(self.person, self._random)
        if kind < 0.4 and self._call is not None:
            return new_lead(self.person, self._random, self._call)
        return new_call(self.person, self._random)

    def _with_cookies(self, request: Request) -> Request:
        headers = {**request.headers, **self._cookies.headers()}
        return Request(request.name, request.target, request.method, headers, request.body)
