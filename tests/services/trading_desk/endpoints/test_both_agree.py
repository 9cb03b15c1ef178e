"""Whatever is asked, the service as it was and the fast one say the same."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from tests.services.trading_desk.endpoints.conftest import NOW, Service

from tailrace_services.trading_desk.proof.people import load_traders
from tailrace_services.trading_desk.proof.writes import sql_write

FILTERS: list[dict[str, Any]] = [
    {},
    {"category": "risk"},
    {"category": "nothing"},
    {"category": "execution", "status": ["open", "done"]},
    {"category": "risk", "priority": ["high", "low"], "status": "open"},
    {"status": "open"},
    {"status": ["in_progress", "open", "open"]},
    {"status": ["open", "in_progress", "in_review", "done"], "priority": ["low", "medium", "high", "critical"]},
    {"priority": "critical"},
    {"priority": ["high", "critical"], "status": ["open", "in_progress"]},
    {"created_since": "2026-03-01T00:00:00Z", "category": "settlement"},
    {"created_before": "2025-06-01T02:00:00+02:00", "status": "done"},
    {"created_since": "2026-01-01T00:00:00Z", "created_before": "2026-02-01T00:00:00Z"},
    {"tags_any": ["gold", "swap"]},
    {"tags_all": ["gold", "urgent"]},
    {"tags_all": ["gold"], "tags_any": ["limits", "urgent"], "status": "done"},
    {"metadata": '{"asset": "XAUUSD"}'},
    {"metadata": '{"asset": "WTI", "hours": 3}', "category": "execution"},
    {"metadata": "{}"},
    {"q": "margin"},
    {"q": '"hedge of" or confirmed -wti', "priority": "low"},
    {"q": "margin", "tags_any": "gold", "metadata": '{"source": "desk"}'},
    {"q": "the of"},
]
SORTS = ("-created_at", "created_at", "-updated_at", "-priority")


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_agree(pair: tuple[Service, Service], sort: str) -> None:
    """Items, totals, cursors and links, of the first page and, for some filters in each order, of those around."""
    slow, fast = pair
    seen = 0

    async def agreed(**question: Any) -> Any:
        expected, found = await asyncio.gather(slow.get("/api/items", **question), fast.get("/api/items", **question))
        assert expected.status_code == 200, expected.text
        assert found.json() == expected.json(), question
        assert found.headers["link"] == expected.headers["link"]
        return expected.json()

    for number, filters in enumerate(FILTERS):
        question = {**filters, "limit": 9, "sort": sort}
        first = await agreed(**question, total="exact")
        seen += len(first["items"])
        if number % len(SORTS) == SORTS.index(sort) and first["next_cursor"]:
            second = await agreed(**question, cursor=(await agreed(**question))["next_cursor"])
            assert (await agreed(**question, cursor=second["previous_cursor"]))["items"] == first["items"]
    assert seen > 120


async def test_every_item_comes_once(pair: tuple[Service, Service]) -> None:
    """Pages that are merged of many ranges leave nothing out and repeat nothing, where moments are equal too."""
    _, fast = pair
    await fast.sql("UPDATE items SET created_at = date_trunc('month', created_at)")
    await fast.settled()
    wanted = {"status": ["open", "done"], "limit": 100}
    for sort in SORTS:
        found: list[int] = []
        body = (await fast.get("/api/items", **wanted, sort=sort, total="exact")).json()
        total = body["total"]
        while True:
            found += [item["id"] for item in body["items"]]
            if body["next_cursor"] is None:
                break
            body = (await fast.get("/api/items", **wanted, sort=sort, cursor=body["next_cursor"])).json()
        assert len(found) == len(set(found)) == total > 500


async def test_the_log_agrees(pair: tuple[Service, Service]) -> None:
    """Of everything and of one item, page by page."""
    slow, fast = pair
    for question in ({}, {"item_id": 5}, {"item_id": 10**9}, {"limit": 5, "total": "capped"}):
        expected, found = await asyncio.gather(
            slow.get("/api/audit-log", **question), fast.get("/api/audit-log", **question)
        )
        assert (expected.status_code, found.json()) == (200, expected.json())
        cursor = expected.json()["next_cursor"]
        if cursor is not None:
            question = {**question, "cursor": cursor}
            question.pop("total", None)
            later = await asyncio.gather(slow.get("/api/audit-log", **question), fast.get("/api/audit-log", **question))
            assert later[0].json() == later[1].json()


async def test_they_agree_while_others_write(pair: tuple[Service, Service]) -> None:
    """After every write by plain SQL, answers that were cached before show it."""
    slow, fast = pair
    random = Random(7)
    traders = await load_traders(fast.database_url)
    of_items: list[dict[str, Any]] = [
        *({}, {"category": "risk"}, {"category": "execution", "status": "open"}, {"sort": "-priority"}),
        *({"q": "margin"}, {"tags_any": "gold"}, {"sort": "-updated_at"}, {"metadata": '{"asset": "WTI"}'}),
    ]
    of_signals = [{"asset": "COCOA"}, {"asset": "XAUUSD", "channel": "oanda"}]
    questions = [
        *[("/api/items", question) for question in of_items],
        *[(path, question) for path in ("/api/signals", "/api/signals/summary") for question in of_signals],
        ("/api/signals", {"channel": "oanda", "limit": 200}),
    ]

    async def execute(statement: str, *arguments: Any) -> None:
        await fast.sql(statement, *arguments)

    differing = 0
    for _ in range(12):
        trader = random.choice(traders)
        before = [(await fast.get(path, **question)).json() for path, question in questions]
        await sql_write(execute, trader, random, NOW)
        await fast.settled()
        for (path, question), was in zip(questions, before, strict=True):
            expected = (await slow.get(path, **question)).json()
            assert (await fast.get(path, **question)).json() == expected, question
            differing += expected != was
        one = f"/api/items/{trader.item_id}"
        assert (await fast.get(one)).json() == (await slow.get(one)).json()
    assert differing > 5
