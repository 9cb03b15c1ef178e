"""Compares the optimised service's answers with what is right, at rest and while others write. Touches: the network.

What is right is what the slow code says on the same database at that moment. While a user is compared nobody writes to
that user's rows, so there is one right answer; everybody else is written to meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tailrace.errors import TailraceError
from tailrace.verify.client import Connections, Request
from tailrace.verify.cookies import Cookies
from tailrace.verify.http1 import Response
from tailrace_services.prove.answers import Difference, compare_responses, explain
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import Endpoint, Person, ask
from tailrace_services.prove.writes import random_write, sql_write

__all__ = ["Mismatch", "Verdicts", "compare_at_rest", "compare_under_writes"]

VISIBLE_WITHIN = 1.0
"""Seconds within which what others wrote must show: the freshness bound."""

MISMATCHES_KEPT = 20


class WriteRefusedError(TailraceError):
    """The optimised service refused a write that is in order."""

    code = "write_refused"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One answer that was not right."""

    endpoint: str
    user: int
    when: str
    found: list[Difference]

    def __str__(self) -> str:
        return f"{self.endpoint} of user {self.user}, {self.when}:\n{explain(self.found)}"


@dataclass(slots=True)
class Verdicts:
    """How many answers were compared and were equal, by endpoint.

    ``waits``: seconds after which raw SQL showed, for each answer that did not show it when first asked for.
    """

    compared: dict[str, int] = field(default_factory=dict)
    equal: dict[str, int] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    writes: int = 0
    users: set[int] = field(default_factory=set)

    def add(self, endpoint: str, user: int, when: str, found: list[Difference]) -> None:
        """Count one comparison."""
        self.users.add(user)
        self.compared[endpoint] = self.compared.get(endpoint, 0) + 1
        if not found:
            self.equal[endpoint] = self.equal.get(endpoint, 0) + 1
        elif len(self.mismatches) < MISMATCHES_KEPT:
            self.mismatches.append(Mismatch(endpoint, user, when, found))

    @property
    def all_equal(self) -> bool:
        """True if something was compared and nothing differed."""
        return bool(self.compared) and self.compared == self.equal


async def compare_at_rest(
    site: Site, people: Sequence[Person], verdicts: Verdicts, *, told: Callable[[], None] = lambda: None
) -> None:
    """Each endpoint for each person while nobody writes: as first computed, and again as then cached."""
    queue = list(people)

    async def work() -> None:
        while queue:
            person = queue.pop()
            for endpoint in _askable(site.endpoints, person):
                request = ask(endpoint, person, person.agents[-1] if endpoint.of_agent else None)
                expected = await site.reference.send(request)
                for when in ("first answer", "second answer"):
                    got = await site.optimised.send(request)
                    verdicts.add(endpoint.name, person.id, when, _checked(expected, got))
            told()

    await _all(work() for _ in range(4))


async def compare_under_writes(
    site: Site,
    people: Sequence[Person],
    verdicts: Verdicts,
    *,
    seconds: float,
    random: Random,
    writers: int = 4,
    comparers: int = 2,
) -> None:
    """Writers and comparers on the same people, each person held by one of them at a time, for ``seconds``."""
    clock = site.optimised.clock.monotonic
    desks = [_Desk(person) for person in people if person.agents]
    end = clock() + seconds

    async def write(number: int) -> None:
        while clock() < end:
            desk = random.choice(desks)
            async with desk.lock:
                await desk.write(site, random, by_sql=number % 2 == 1)
                verdicts.writes += 1

    async def compare() -> None:
        while clock() < end:
            # Those that were written to since they were last compared are the interesting ones.
            desk = random.choice([desk for desk in desks if desk.dirty] or desks)
            async with desk.lock:
                await desk.compare(site, verdicts)

    await _all([write(number) for number in range(writers)] + [compare() for _ in range(comparers)])
    for desk in desks:
        if desk.dirty:
            await desk.compare(site, verdicts)


class _Desk:
    """One person's browser and rows: who holds the lock writes or compares, alone."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.lock = asyncio.Lock()
        self.dirty = False
        self.cookies = Cookies()
        self.raw_write: float | None = None
        self.calls: list[int] = []
        self.created: list[int] = []

    async def write(self, site: Site, random: Random, *, by_sql: bool) -> None:
        self.dirty = True
        if by_sql:
            await sql_write(site.execute, self.person, random, site.now)
            self.raw_write = site.optimised.clock.monotonic()
            # psql may have deleted any of them.
            self.calls.clear()
            return
        request = random_write(self.person, random, self.calls, self.created)
        response = await self._send(site.optimised, request)
        if response.status >= 500:
            # Whether it took effect, the database knows; its writer was given nothing to see it at once by.
            self.raw_write = site.optimised.clock.monotonic()
            return
        if response.status >= 300:
            raise WriteRefusedError(f"{request.name} was refused: {response.status} {response.body[:300]!r}")
        if request.name == "POST calls":
            self.calls.append(response.json()["id"])
        elif request.name == "POST agents":
            self.created.append(response.json()["id"])

    async def compare(self, site: Site, verdicts: Verdicts) -> None:
        """Own writes must show at once; what psql wrote, within the bound."""
        clock = site.optimised.clock.monotonic
        self.dirty = False
        for endpoint in _askable(site.endpoints, self.person):
            request = ask(endpoint, self.person)
            expected = await site.reference.send(request)
            limit = float("-inf") if self.raw_write is None else self.raw_write + VISIBLE_WITHIN
            tries = 0
            while True:
                asked, tries = clock(), tries + 1
                found = _checked(expected, await self._send(site.optimised, request))
                # A request sent within the bound may still be answered from before; one sent later may not.
                if not found or asked > limit:
                    break
            if self.raw_write is not None and tries > 1 and not found:
                verdicts.waits.append(asked - self.raw_write)
            verdicts.add(endpoint.name, self.person.id, "under writes", found)
        self.raw_write = None

    async def _send(self, connections: Connections, request: Request) -> Response:
        request = Request(
            request.name, request.target, request.method, {**request.headers, **self.cookies.headers()}, request.body
        )
        response = await connections.send(request)
        self.cookies.take(response)
        return response


def _askable(endpoints: Sequence[Endpoint], person: Person) -> list[Endpoint]:
    return [endpoint for endpoint in endpoints if person.agents or not endpoint.of_agent]


def _checked(expected: Response, got: Response) -> list[Difference]:
    if expected.status >= 400:
        # Two equal errors are no proof of anything.
        return [Difference("(reference)", "an answer", f"{expected.status} {expected.body[:200]!r}")]
    return compare_responses(expected, got)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
