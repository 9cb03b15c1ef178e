"""Who asks the Trading Desk. Touches: the database, to read who there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tailrace_services.data.connection import open_connection
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.prove.subject import Person
from tailrace_services.settings import DEFAULT_SEED
from tailrace_services.trading_desk.keys import api_key

__all__ = ["DeskTrader", "load_traders"]

TRADERS = 1_000
"""How many ask, those who created the most items."""

_TRADERS = """
SELECT t.id, t.api_key_hash, a.entries, a.item_id
FROM (SELECT trader_id, count(*) AS entries, max(item_id) AS item_id FROM audit_log GROUP BY trader_id) AS a
JOIN traders AS t ON t.id = a.trader_id
WHERE t.is_active AND EXISTS (SELECT FROM items WHERE items.id = a.item_id)
ORDER BY a.entries DESC, t.id LIMIT $1
"""
_NEWEST = "SELECT coalesce((SELECT max(time) FROM signals), (SELECT max(created_at) FROM items))"


@dataclass(frozen=True, slots=True)
class DeskTrader(Person):
    """A trader, who asks with a key.

    ``item_id`` is the last item that the trader wrote; ``newest`` the moment of the desk's last signal, or last item.
    """

    item_id: int
    newest: datetime


async def load_traders(url: str) -> list[DeskTrader]:
    """:data:`TRADERS` of those who wrote the most.

    Whose key cannot be derived is given the derived one; call this for each database that is served.

    Raises:
        DatabaseError: the database cannot be read.

    Cost: a scan of the log.
    """
    async with open_connection(url) as connection:
        seed = await connection.fetchval("SELECT seed FROM dataset") or DEFAULT_SEED
        newest = await connection.fetchval(_NEWEST)
        traders = []
        for trader_id, key_hash, entries, item_id in await connection.fetch(_TRADERS, TRADERS):
            key = api_key(seed, trader_id)
            if hash_api_key(key) != key_hash:
                change = "UPDATE traders SET api_key_hash = $1 WHERE id = $2"
                await connection.execute(change, hash_api_key(key), trader_id)
            traders.append(DeskTrader(trader_id, {"X-API-Key": key}, entries, item_id, newest))
        return traders
