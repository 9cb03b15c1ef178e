"""What is written while the Trading Desk answers: by traders through the API, and by others with plain SQL.

Touches: the database. A row that was there stays there: deleted is only what these writes made.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random

from tailrace.verify.client import Request
from tailrace.verify.http1 import Response
from tailrace_services.prove.subject import Execute
from tailrace_services.trading_desk.model import PRIORITIES, STATUSES
from tailrace_services.trading_desk.proof.people import DeskTrader

__all__ = ["SQL_WRITES", "DeskWriter", "sql_write"]

SQL_WRITES = (
    # another item, and away with one
    (
        """INSERT INTO items (title, description, category, priority, status, tags, metadata, created_at, updated_at)
        VALUES ('Written ' || $1::int, 'By SQL, about margin', CASE $1::int % 3 WHEN 0 THEN 'risk' ELSE 'execution' END,
                1 + $1::int % 4, 'open', ARRAY['gold', 'written'], '{"asset": "XAUUSD"}', $2, $2)""",
        ("number", "moment"),
    ),
    ("DELETE FROM items WHERE id = (SELECT max(id) FROM items WHERE 'written' = ANY (tags))", ()),
    # one that is done, or opened again; one that moves to another category, or becomes more urgent
    (
        "UPDATE items SET status = CASE status WHEN 'done' THEN 'open' ELSE 'done' END, updated_at = $2 WHERE id = $1",
        ("item", "moment"),
    ),
    (
        "UPDATE items SET category = CASE category WHEN 'risk' THEN 'execution' ELSE 'risk' END WHERE id = $1",
        ("item",),
    ),
    ("UPDATE items SET priority = 1 + priority % 4 WHERE id = $1", ("item",)),
    # what it says, and what is attached to it
    ("UPDATE items SET title = 'Retitled, margin ' || $1::int WHERE id = $2", ("number", "item")),
    (
        "UPDATE items SET tags = ARRAY['gold', 'limits'], metadata = metadata || '{\"asset\": \"WTI\"}' WHERE id = $1",
        ("item",),
    ),
    # signals, some of them late, and one of those less
    (
        """INSERT INTO signals (time, asset, signal_type, channel, price, raw_message)
        SELECT $2::timestamptz + n * interval '1 minute', CASE $1::int % 3 WHEN 0 THEN 'XAUUSD' ELSE 'COCOA' END,
               'close', 'oanda', 7000 + $1::int % 100 + n, 'written' FROM generate_series(1, 3) AS n""",
        ("number", "moment"),
    ),
    (
        """DELETE FROM signals WHERE (time, id) = (SELECT time, id FROM signals WHERE asset = 'COCOA'
        AND raw_message = 'written' ORDER BY time DESC, id DESC LIMIT 1)""",
        (),
    ),
    # a trader's name
    ("UPDATE traders SET name = 'Trader ' || $1::int WHERE id = $2", ("number", "trader")),
)
"""Statements and what they are about, in the order of their parameters: writes to every table that answers show."""


async def sql_write(execute: Execute, trader: DeskTrader, random: Random, now: datetime) -> None:
    """One statement of ``SQL_WRITES`` on what the trader looks at, committed."""
    statement, names = random.choice(SQL_WRITES)
    values = {
        "number": random.randrange(10**6),
        "item": trader.item_id,
        "trader": trader.id,
        "moment": now - timedelta(seconds=random.randrange(0, 3 * 24 * 3600)),
    }
    await execute(statement, *(values[name] for name in names))


class DeskWriter:
    """What one trader writes through the API."""

    def __init__(self, trader: DeskTrader) -> None:
        self._trader = trader
        self._made: list[int] = []

    def usual(self, random: Random) -> Request:
        """Another item."""
        body = {
            "title": f"Item {random.randrange(10**6)}",
            "description": "What is to be done, in a sentence.",
            "category": random.choice(("execution", "risk", "settlement")),
            "priority": random.choice(PRIORITIES),
            "tags": ["gold"],
            "metadata": {"asset": "XAUUSD"},
        }
        return self._request("POST", "/api/items", body)

    def any(self, random: Random) -> Request:
        """Another item, a change of one, one of its own less, or some signals."""
        kind = random.randrange(5)
        if kind == 0 and self._made:
            return self._request("DELETE", f"/api/items/{self._made.pop()}", None)
        if kind == 1:
            change = {"status": random.choice(STATUSES), "priority": random.choice(PRIORITIES)}
            return self._request("PATCH", f"/api/items/{self._trader.item_id}", change)
        if kind == 2:
            return self._request(
                "POST", "/api/signals", {"signals": [_signal(random, self._trader.newest) for _ in range(5)]}
            )
        return self.usual(random)

    def take(self, request: Request, response: Response) -> None:
        """Remember what was made."""
        if request.name == "POST items" and response.status == 201:
            self._made.append(json.loads(response.body)["id"])

    def forget(self) -> None:
        """What was made may be gone."""
        self._made.clear()

    def _request(self, method: str, path: str, body: object) -> Request:
        headers = {**self._trader.headers, "Content-Type": "application/json"}
        sent = b"" if body is None else json.dumps(body).encode()
        return Request(f"{method} {path.split('/')[2]}", path, method, headers, sent)


def _signal(random: Random, newest: datetime) -> dict[str, str]:
    """A quote or advice, of one of the days before ``newest``."""
    moment = newest - timedelta(seconds=random.randrange(3 * 24 * 3600))
    signal = {"time": moment.isoformat(), "asset": random.choice(("XAUUSD", "COCOA")), "channel": "oanda"}
    price = random.randrange(7_000, 8_000)
    if random.randrange(2):
        return {**signal, "signal_type": "quote", "bid": f"{price}.5", "ask": f"{price + 1}"}
    return {**signal, "signal_type": "close", "price": str(price), "raw_message": "written by a trader"}
