"""Who asks Research Hub. Touches: the database, to read who there is."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.data.connection import open_connection
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.prove.subject import Person
from tailrace_services.research_hub.keys import api_key
from tailrace_services.settings import DEFAULT_SEED

__all__ = ["Member", "load_members"]

MEMBERS = 1_000
"""How many ask, those with the most cards."""

_MEMBERS = """
SELECT k.id AS key_id, k.user_id, k.key_hash, c.cards, c.newest_content
FROM (SELECT user_id, count(*) AS cards, max(content_id) AS newest_content FROM cards GROUP BY user_id) AS c
JOIN (SELECT DISTINCT ON (user_id) id, user_id, key_hash FROM api_keys WHERE active ORDER BY user_id, id) AS k
  ON k.user_id = c.user_id
ORDER BY c.cards DESC, c.user_id LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class Member(Person):
    """A user with cards, who asks with a key; ``content_id`` is a post that they wrote about."""

    content_id: int


async def load_members(url: str) -> list[Member]:
    """:data:`MEMBERS` of the users with the most cards.

    Whose key cannot be derived is given the derived one; call this for each database that is served.

    Raises:
        DatabaseError: the database cannot be read.

    Cost: a scan of the cards.
    """
    async with open_connection(url) as connection:
        seed = await connection.fetchval("SELECT seed FROM dataset") or DEFAULT_SEED
        members = []
        for row in await connection.fetch(_MEMBERS, MEMBERS):
            key = api_key(seed, row["key_id"])
            if hash_api_key(key) != row["key_hash"]:
                change = "UPDATE api_keys SET key_hash = $1 WHERE id = $2"
                await connection.execute(change, hash_api_key(key), row["key_id"])
            members.append(Member(row["user_id"], {"X-API-Key": key}, row["cards"], row["newest_content"]))
        return members
