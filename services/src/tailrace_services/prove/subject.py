"""What is proved: the voice dashboard's endpoints, its users, and what was asked of each. Touches: the database, to
read who there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tailrace.verify.client import Request
from tailrace_services.data.connection import open_connection
from tailrace_services.settings import DEFAULT_SEED
from tailrace_services.voice_dashboard.keys import api_key, hash_api_key

__all__ = ["ENDPOINTS", "SERVICE", "Endpoint", "Person", "ask", "draw", "load_people"]

SERVICE = "voice-dashboard"


@dataclass(frozen=True, slots=True)
class Person:
    """A customer: who they are, the agents that they have, and how many calls those made."""

    id: int
    key: str
    agents: tuple[int, ...]
    calls: int

    @property
    def headers(self) -> dict[str, str]:
        """What shows who asks."""
        return {"X-API-Key": self.key}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A read. Times in milliseconds at p95; ``share`` of the reads in the mix.

    ``asked`` is what its users asked for, ``cold`` and ``warm`` what is aimed for here (None: nothing beyond asked).
    """

    name: str
    path: str
    asked: float
    share: float
    cold: float | None = None
    warm: float | None = None

    @property
    def of_agent(self) -> bool:
        """True if it is about one agent."""
        return "{id}" in self.path


ENDPOINTS = (
    Endpoint("overview", "/api/dashboard/overview", asked=2000, share=0.50, cold=15, warm=2),
    Endpoint("analytics", "/api/dashboard/analytics?days=7", asked=2000, share=0.20, cold=25, warm=2),
    Endpoint("agents", "/api/agents", asked=1000, share=0.15, cold=260, warm=2),
    Endpoint("agent", "/api/agents/{id}", asked=1000, share=0.07, warm=2),
    Endpoint("configuration", "/api/agents/{id}/configuration", asked=1000, share=0.03, warm=2),
    Endpoint("credits", "/api/billing/credits", asked=1000, share=0.05),
)


def ask(endpoint: Endpoint, person: Person, agent: int | None = None) -> Request:
    """The request; about the person's first agent unless another is named.

    Raises:
        ValueError: the endpoint is about an agent and the person has none.
    """
    path = endpoint.path
    if endpoint.of_agent:
        if agent is None and not person.agents:
            raise ValueError(f"user {person.id} has no agents")
        path = path.replace("{id}", str(person.agents[0] if agent is None else agent))
    return Request(endpoint.name, path, headers=person.headers)


def draw(people: Sequence[Person], count: int, random: Random) -> list[Person]:
    """``count`` different people who have agents: the one with the most calls first, the rest drawn evenly."""
    able = [person for person in people if person.agents]
    largest = max(able, key=lambda person: person.calls)
    others = [person for person in able if person is not largest]
    return [largest, *random.sample(others, k=min(count - 1, len(others)))]


async def load_people(url: str) -> list[Person]:
    """Every active user of the database at ``url``, by id.

    A user whose key cannot be derived (the rows were imported) is given the derived one; call this for each database
    that is served.

    Raises:
        DatabaseError: the database cannot be read.
    """
    async with open_connection(url) as connection:
        seed = await connection.fetchval("SELECT seed FROM dataset") or DEFAULT_SEED
        users: list[Any] = await connection.fetch("SELECT id, api_key_hash FROM users WHERE is_active ORDER BY id")
        agents: list[Any] = await connection.fetch("SELECT id, user_id FROM agents WHERE is_active ORDER BY id")
        counts: list[Any] = await connection.fetch("SELECT user_id, count(*) AS calls FROM calls GROUP BY user_id")
        of: dict[int, list[int]] = {}
        for row in agents:
            of.setdefault(row["user_id"], []).append(row["id"])
        calls = {row["user_id"]: row["calls"] for row in counts}
        people = []
        for row in users:
            key = api_key(seed, row["id"])
            if hash_api_key(key) != row["api_key_hash"]:
                change = "UPDATE users SET api_key_hash = $1 WHERE id = $2"
                await connection.execute(change, hash_api_key(key), row["id"])
            people.append(Person(row["id"], key, tuple(of.get(row["id"], ())), calls.get(row["id"], 0)))
        return people
