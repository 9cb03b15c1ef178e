"""Who writes and who reads while things break. Touches: the network, the database, the ``psql`` binary.

Everybody is a client as in life: a browser keeps its cookies and is sent to any of the servers; psql knows nothing of
caches. Each asks the world before it writes and tells it how that ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol

from tailrace.verify.client import Connections, ExchangeFailedError, Request
from tailrace.verify.cookies import Cookies
from tailrace.verify.http1 import Response
from tailrace_services.hunt.model import Read
from tailrace_services.hunt.quarry import Quarry
from tailrace_services.hunt.world import Trace, User, World
from tailrace_services.prove.answers import cache_outcome

__all__ = ["Browser", "Field", "Outcome", "SqlClient", "api_writer", "reader", "sql_writer"]

Outcome = Literal["acknowledged", "refused", "lost"]

REQUEST_TIMEOUT = 30.0
"""Seconds; longer than any pause, so that a paused server delays answers rather than losing them."""


@dataclass(slots=True)
class Field:
    """What all actors share. ``calm`` says whether no fault is under way; ``over`` ends them."""

    quarry: Quarry
    world: World
    servers: Sequence[tuple[str, Connections]]
    random: Random
    calm: Callable[[], bool]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    calm_errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    reads: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    visibility: list[float] = field(default_factory=list)
    asked_too_early: list[float] = field(default_factory=list)
    """Seconds after a write at which the last request left that was still answered with what was before; 0 if none."""
    disturbed_visibility: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds by the one clock of the hunt."""
        return time.monotonic()

    def failed(self, what: str) -> None:
        """Count an error; one while everything runs is counted apart."""
        self.errors[what] += 1
        if self.calm():
            self.calm_errors[what] += 1

    def writable(self) -> User | None:
        """Somebody whose rows may be written to; None if there is nobody just now."""
        for _ in range(20):
            user = self.random.choice(list(self.world.users.values()))
            if not user.closed:
                return user
        return None


class Browser:
    """One user's browser: one session, sent to any server."""

    def __init__(self, field: Field, user: User, name: str) -> None:
        self.session = name
        self.user = user
        self._field = field
        self._cookies = Cookies()

    async def send(self, server: int, request: Request) -> Response:
        """Send with the session's cookies and keep those that come back.

        Raises:
            ExchangeFailedError: no whole response.
        """
        headers = {**self.user.headers, **self._cookies.headers(), **request.headers}
        _, connections = self._field.servers[server]
        whole = Request(request.name, request.target, request.method, headers, request.body)
        response = await connections.send(whole, timeout=REQUEST_TIMEOUT)
        self._cookies.take(response)
        return response

    async def read(self, endpoint: str, server: int, agent: int) -> Response | None:
        """Ask, and have the answer judged; None if there was none."""
        asked = self._field.quarry.endpoints[endpoint]
        started = self._field.now()
        try:
            response = await self.send(server, Request(endpoint, asked.asked(self.user.id, agent)))
        except ExchangeFailedError as error:
            self._field.failed(f"read {error.kind}")
            return None
        ended = self._field.now()
        self._field.reads += 1
        if response.status != 200:
            self._field.failed(f"read {_error(response)}")
            return None
        self._field.outcomes[cache_outcome(response) or "none"] += 1
        trace = Trace(self._field.servers[server][0], endpoint, response.header("cache-status") or "-")
        seen = asked.observe(agent, response.json())
        self._field.world.check(self.user, seen, Read(self.session, started, ended), trace)
        return response

    async def write(self, server: int, request: Request) -> Outcome:
        """Send a write; how it ended as far as a client can know."""
        try:
            response = await self.send(server, request)
        except ExchangeFailedError as error:
            self._field.failed(f"write {error.kind}")
            return "refused" if error.kind == "connect" else "lost"
        if response.status < 300:
            return "acknowledged"
        self._field.failed(f"write {_error(response)}")
        return "refused" if response.status < 500 else "lost"

    async def record_call(self, server: int, agent: int, moment: str) -> Outcome:
        """Record a call of ``agent`` as this session's own write."""
        world, by = self._field.world, f"{self.session} at {self._field.servers[server][0]}"
        write = world.begin_call(self.user, agent, self.session, self._field.now(), by)
        outcome = await self.write(server, self._field.quarry.record(self.user.id, agent, moment))
        world.end_call(self.user, agent, write, outcome, self._field.now(), by)
        return outcome

    async def rename(self, server: int, agent: int) -> Outcome:
        """Rename ``agent`` as this session's own write."""
        world, by = self._field.world, f"{self.session} at {self._field.servers[server][0]}"
        write = world.begin_rename(self.user, agent, self.session, self._field.now(), by)
        outcome = await self.write(server, self._field.quarry.rename(agent, write.value))
        world.end_rename(self.user, agent, write, outcome, self._field.now(), by)
        return outcome


async def reader(field: Field, number: int, think: float) -> None:
    """Read one user's pages from any server, over and over."""
    users = list(field.world.users.values())
    browser = Browser(field, users[number % len(users)], f"reader {number}")
    agents = list(browser.user.names)
    endpoints = field.quarry.endpoints
    names, weights = list(endpoints), [endpoint.weight for endpoint in endpoints.values()]
    while not field.over.is_set():
        endpoint = field.random.choices(names, weights)[0]
        server = field.random.randrange(len(field.servers))
        answer = await browser.read(endpoint, server, field.random.choice(agents))
        await asyncio.sleep(think * (0.5 + field.random.random()) if answer else 0.1)


async def api_writer(field: Field, number: int, moment: str, think: float) -> None:
    """Write through any server, then look at once through another."""
    browsers: dict[int, Browser] = {}
    while not field.over.is_set():
        await asyncio.sleep(think * (0.5 + field.random.random()))
        user = field.writable()
        if user is None:
            continue
        browser = browsers.setdefault(user.id, Browser(field, user, f"writer {number} as user {user.id}"))
        server = field.random.randrange(len(field.servers))
        agent = field.random.choice(list(user.names))
        if field.random.random() < 0.3 and agent not in user.renaming:
            outcome = await browser.rename(server, agent)
        else:
            outcome = await browser.record_call(server, agent, moment)
        field.writes[f"api {outcome}"] += 1
        if outcome == "acknowledged":
            other = (server + 1 + field.random.randrange(len(field.servers) - 1)) % len(field.servers)
            for endpoint in field.random.sample(list(field.quarry.endpoints), k=2):
                await browser.read(endpoint, other, agent)


class SqlClient(Protocol):
    """Runs statements as an operator would: one transaction each, on a connection or by the ``psql`` binary."""

    @property
    def name(self) -> str:
        """What it is called in stories."""
        ...

    async def run(self, statements: str) -> Outcome:
        """Run them as one transaction; how it ended as far as a client can know."""
        ...


async def sql_writer(field: Field, client: SqlClient, moment: str, think: float) -> None:
    """Write to users' rows behind the services' backs; one in six is rolled back."""
    while not field.over.is_set():
        await asyncio.sleep(think * (0.5 + field.random.random()))
        user = field.writable()
        if user is None:
            continue
        agent = field.random.choice(list(user.names))
        kind = field.random.random()
        if kind < 0.15 and agent not in user.renaming:
            await _roll_back(field, client, user, agent, moment)
        elif kind < 0.40 and agent not in user.renaming:
            write = field.world.begin_rename(user, agent, None, field.now(), client.name)
            outcome = await client.run(field.quarry.update(agent, write.value))
            field.world.end_rename(user, agent, write, outcome, field.now(), client.name)
            field.writes[f"sql {outcome}"] += 1
        else:
            call = field.world.begin_call(user, agent, None, field.now(), client.name)
            outcome = await client.run(field.quarry.insert(user.id, agent, moment))
            field.world.end_call(user, agent, call, outcome, field.now(), client.name)
            field.writes[f"sql {outcome}"] += 1


async def _roll_back(field: Field, client: SqlClient, user: User, agent: int, moment: str) -> None:
    """What this writes nobody may ever see."""
    call = field.world.begin_call(user, agent, None, field.now(), client.name)
    write = field.world.begin_rename(user, agent, None, field.now(), client.name)
    # Known before it is tried: even if the connection is lost in the middle, it is never committed.
    field.world.end_call(user, agent, call, "refused", field.now(), client.name)
    both = f"{field.quarry.insert(user.id, agent, moment)}; {field.quarry.update(agent, write.value)}"
    await client.run(f"BEGIN; {both}; SELECT pg_sleep(0.02); ROLLBACK")
    field.world.end_rename(user, agent, write, "refused", field.now(), client.name)
    field.writes["sql rolled back"] += 1


def _error(response: Response) -> str:
    """Status and code of an answer that is none."""
    try:
        return f"{response.status} {response.json()['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return str(response.status)
