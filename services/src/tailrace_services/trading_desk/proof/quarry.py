"""The Trading Desk as it is hunted: each trader has an asset, whose signals are counted, and items, which have titles.

All traders see everything; here each asks for what is about an asset and a category of the trader's own, so that what
an answer must show is known. A signal of an item comes by a channel that has the item's number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tailrace.verify.client import Request
from tailrace_services.data.connection import open_connection
from tailrace_services.hunt.observation import Observation
from tailrace_services.hunt.quarry import Cast, Endpoint, Quarry
from tailrace_services.trading_desk.data import DATA
from tailrace_services.trading_desk.proof import SUBJECT
from tailrace_services.trading_desk.proof.people import load_traders

__all__ = ["QUARRY"]

JSON = {"Content-Type": "application/json"}
ITEMS = 3
"""Of each trader."""
_MAKE_ITEMS = """
INSERT INTO items (title, category, priority) SELECT 'Item ' || n, 'hunt-' || $1::bigint, 2
FROM generate_series(1, $2::int) AS n WHERE NOT EXISTS (SELECT FROM items WHERE category = 'hunt-' || $1::bigint)
"""
_NAMES = "SELECT id, title AS name FROM items WHERE category = 'hunt-' || $1::bigint"


async def _load(url: str, count: int) -> Cast:
    """Traders, each with some items of a category of the trader's own."""
    chosen = (await load_traders(url))[:count]
    agents = {}
    async with open_connection(url) as connection:
        for trader in chosen:
            await connection.execute(_MAKE_ITEMS, trader.id, ITEMS)
            agents[trader.id] = {row["id"]: row["name"] for row in await connection.fetch(_NAMES, trader.id)}
        last = await connection.fetchval("SELECT max(id) FROM signals")
    return Cast(agents, {trader.id: trader.headers for trader in chosen}, last)


def _counted(body: Mapping[str, Any]) -> int:
    return sum(day["signals"] for day in body["items"])


def _named(items: Iterable[Mapping[str, Any]]) -> Observation:
    return Observation(names={item["id"]: item["title"] for item in items})


def _record(user: int, agent: int, moment: str) -> Request:
    told = {"asset": f"HUNT{user}", "signal_type": "close", "channel": f"item {agent}", "price": "1.5"}
    return Request("write", "/api/signals", "POST", JSON, json.dumps({"signals": [{"time": moment, **told}]}).encode())


def _rename(agent: int, name: str) -> Request:
    return Request("write", f"/api/items/{agent}", "PATCH", JSON, json.dumps({"title": name}).encode())


def _insert(user: int, agent: int, moment: str) -> str:
    return (
        "INSERT INTO signals (time, asset, signal_type, channel, price) "  # noqa: S608 - numbers
        f"VALUES ('{moment}', 'HUNT{int(user)}', 'buy', 'item {int(agent)}', 2.5)"
    )


def _update(agent: int, name: str) -> str:
    return f"UPDATE items SET title = '{name}' WHERE id = {int(agent)}"  # noqa: S608 - names of our own making


QUARRY = Quarry(
    data=DATA,
    ready=SUBJECT.ready,
    variables=SUBJECT.variables,
    load=_load,
    endpoints={
        "items": Endpoint("/api/items?category=hunt-{user}", lambda _agent, body: _named(body["items"]), 3),
        "days": Endpoint(
            "/api/signals/summary?asset=HUNT{user}",
            lambda _agent, body: Observation({("days of an asset", None): _counted(body)}),
            3,
        ),
        "a channel's days": Endpoint(
            "/api/signals/summary?asset=HUNT{user}&channel=item%20{agent}&limit=7",
            lambda agent, body: Observation({("days of a channel", agent): _counted(body)}),
            2,
        ),
        "signals": Endpoint(
            "/api/signals?asset=HUNT{user}&limit=2&total=exact",
            lambda _agent, body: Observation({("signals", None): body["total"]}),
            2,
        ),
        "agent": Endpoint("/api/items/{agent}", lambda _agent, body: _named([body]), 2),
    },
    record=_record,
    rename=_rename,
    insert=_insert,
    update=_update,
    calls=(
        "SELECT substr(channel, 6)::bigint AS agent_id, count(*) AS calls FROM signals "
        "WHERE asset = 'HUNT' || $1::bigint AND id > $2 GROUP BY 1"
    ),
    names=_NAMES,
)
