"""Who asks the Voice Dashboard. Touches: the database, to read who there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tailrace_services.data.connection import open_connection
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.prove.subject import Person
from tailrace_services.settings import DEFAULT_SEED
from tailrace_services.voice_dashboard.keys import api_key

__all__ = ["Customer", "load_customers"]


@dataclass(frozen=True, slots=True)
class Customer(Person):
    """A customer with the agents that they have; the weight is how many calls those made."""

    key: str
    agents: tuple[int, ...]

    @classmethod
    def of(cls, number: int, key: str, agents: tuple[int, ...], calls: int) -> Customer:
        """Who shows ``key``."""
        return cls(number, {"X-API-Key": key}, calls, key, agents)


async def load_customers(url: str) -> list[Customer]:
    """Every active user with agents in the database at ``url``, by id.

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
        customers = []
        for row in users:
            key = api_key(seed, row["id"])
            if hash_api_key(key) != row["api_key_hash"]:
                change = "UPDATE users SET api_key_hash = $1 WHERE id = $2"
                await connection.execute(change, hash_api_key(key), row["id"])
            if row["id"] in of:
                customers.append(Customer.of(row["id"], key, tuple(of[row["id"]]), calls.get(row["id"], 0)))
        return customers
