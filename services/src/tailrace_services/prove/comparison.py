"""Compares the optimised service's answers with what is right, at rest and while others write. Touches: the network.

What is right is what the slow code says on the same database at that moment. While a user is compared nobody writes to
the rows that the user's answers are about, so there is one right answer; everybody else is written to meanwhile.
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
from tailrace_services.prove.subject import Endpoint, Person, Writer

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
    site: Site, people: Sequence[Person], verdicts: Verdicts, *, told: Callable[[float], None] = lambda share: None
) -> None:
    """Each endpoint for each person while nobody writes: as first computed, and again as then cached.

    One endpoint after the other: what answering one may store has been stored when the next is asked for.
    """
    done = 0

    async def work(endpoint: Endpoint, queue: list[Person]) -> None:
        nonlocal done
        while queue:
            person = queue.pop()
            request = endpoint.request(person, -1)
            expected = await site.reference.send(request)
            for when in ("first answer", "second answer"):
                got = await site.optimised.send(request)
                verdicts.add(endpoint.name, person.id, when, _checked(expected, got))
            done += 1
            told(done / (len(people) * len(site.subject.endpoints)))

    for endpoint in site.subject.endpoints:
        waiting = list(people)
        await _all(work(endpoint, waiting) for _ in range(4))


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
    """Writers and comparers on the same people for ``seconds``.

    Each person is held by one of them at a time; where one's rows are part of others' answers, all are.
    """
    clock = site.optimised.clock.monotonic
    room = _Room() if site.subject.shared else None
    desks = [_Desk(site, person, room or _Room()) for person in people]
    end = clock() + seconds

    async def write(number: int) -> None:
        while clock() < end:
            desk = random.choice(desks)
            async with desk.room.lock:
                await desk.write(random, by_sql=number % 2 == 1 or desk.writer is None)
                verdicts.writes += 1

    async def compare() -> None:
        while clock() < end:
            # Those that were written to since they were last compared are the interesting ones.
            desk = random.choice([desk for desk in desks if desk.is_behind] or desks)
            async with desk.room.lock:
                await desk.compare(verdicts)

    await _all([write(number) for number in range(writers)] + [compare() for _ in range(comparers)])
    for desk in desks:
        if desk.is_behind:
            await desk.compare(verdicts)


class _Room:
    """Rows that belong together: who holds the lock writes or compares, alone.

    ``version`` counts the writes; ``others_wrote`` is when somebody last did who leaves nobody a token to see it by.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.version = 0
        self.others_wrote = float("-inf")


class _Desk:
    """One person's browser, writing and comparing in a room."""

    def __init__(self, site: Site, person: Person, room: _Room) -> None:
        self.person = person
        self.room = room
        new_writer = site.subject.new_writer
        self.writer: Writer | None = new_writer(person) if new_writer else None
        self._site = site
        self._clock = site.optimised.clock.monotonic
        self._cookies = Cookies()
        self._compared = 0

    @property
    def is_behind(self) -> bool:
        """Whether the room was written to since this desk compared."""
        return self._compared < self.room.version

    async def write(self, random: Random, *, by_sql: bool) -> None:
        """One write: by SQL, or through the API."""
        site, writer = self._site, self.writer
        self.room.version += 1
        if by_sql or writer is None:
            await site.subject.sql_write(site.execute, self.person, random, site.now)
            self.room.others_wrote = self._clock()
            if writer is not None:
                writer.forget()
            return
        request = writer.any(random)
        response = await self._send(site.optimised, request)
        if response.status >= 500 or site.subject.shared:
            # Whether it took effect, the database knows; some who are compared have nothing to see it at once by.
            self.room.others_wrote = self._clock()
        if response.status < 300:
            writer.take(request, response)
        elif response.status < 500:
            raise WriteRefusedError(f"{request.name} was refused: {response.status} {response.body[:300]!r}")

    async def compare(self, verdicts: Verdicts) -> None:
        """Own writes must show at once; what others wrote, within the bound."""
        self._compared = self.room.version
        for endpoint in self._site.subject.endpoints:
            request = endpoint.request(self.person, 0)
            expected = await self._site.reference.send(request)
            if endpoint.stores:
                self.room.others_wrote = self._clock()
            others_wrote, tries = self.room.others_wrote, 0
            while True:
                asked, tries = self._clock(), tries + 1
                found = _checked(expected, await self._send(self._site.optimised, request))
                # A request sent within the bound may still be answered from before; one sent later may not.
                if not found or asked > others_wrote + VISIBLE_WITHIN:
                    break
            if tries > 1 and not found:
                verdicts.waits.append(asked - others_wrote)
            verdicts.add(endpoint.name, self.person.id, "under writes", found)

    async def _send(self, connections: Connections, request: Request) -> Response:
        request = Request(
            request.name, request.target, request.method, {**request.headers, **self._cookies.headers()}, request.body
        )
        response = await connections.send(request)
        self._cookies.take(response)
        return response


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
