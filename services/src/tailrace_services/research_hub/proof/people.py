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
SELECT k.id AS key_id, k.user_id, k.key_hash, u.username, c.cards, c.card_id, p.content_id
FROM (SELECT user_id, count(*) AS cards, max(id) AS card_id FROM cards GROUP BY user_id) AS c
JOIN cards AS p ON p.id = c.card_id
JOIN users AS u ON u.id = c.user_id
JOIN (SELECT DISTINCT ON (user_id) id, user_id, key_hash FROM api_keys WHERE active ORDER BY user_id, id) AS k
  ON k.user_id = c.user_id
ORDER BY c.cards DESC, c.user_id LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class Member(Person):
    """A user with cards, who asks with a key. ``card_id`` is one of the user's, ``content_id`` the post it is about."""

    username: str
    card_id: int
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
            shows = {"X-API-Key": key}
            about = (row["username"], row["card_id"], row["content_id"])
            members.append(Member(row["user_id"], shows, row["cards"], *about))
        return members
