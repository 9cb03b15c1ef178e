"""Items and the log of their changes, of both implementations."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, get_args

from tests.services.trading_desk.endpoints.conftest import Service, StartService

from tailrace.settings import RateLimitSettings
from tailrace_services.trading_desk import model
from tailrace_services.trading_desk.api import schemas

NEW = {
    "title": "Roll the position",
    "description": "Before the fixing: 50 % of it\\n",
    "category": "execution",
    "priority": "critical",
    "tags": ["roll", 'a "quoted" tag', "roll", "Ünïcode, with a comma"],
    "metadata": {"asset": "WTI", "legs": [1, 2.5, None], "nested": {"a": True}, "text": '\\u0041 " \\'},
}


async def test_an_item_from_its_beginning_to_its_end(service: Service) -> None:
    """It is stored, shown, changed and removed, and the log has each step, by whom, with what was and what is."""
    made = (await service.post(NEW, trader=3)).json()
    item_id = made["id"]
    path = f"/api/items/{item_id}"
    assert made == {
        **NEW,
        "id": item_id,
        "status": "open",
        "tags": ["roll", 'a "quoted" tag', "Ünïcode, with a comma"],
        "created_at": "2026-03-31T12:30:12.345678Z",
        "updated_at": "2026-03-31T12:30:12.345678Z",
    }
    assert (await service.get(path)).json() == made
    assert (await service.get("/api/items", category="execution", limit=1)).json()["items"] == [made]

    change = {"status": "done", "priority": "low", "title": made["title"], "metadata": {"asset": "COCOA"}}
    changed = (await service.ask("PATCH", path, body=change, trader=4)).json()
    assert changed == {**made, **change}
    assert (await service.get(path)).json() == changed
    assert (await service.ask("PATCH", path, body={"status": "done", "tags": made["tags"]}, trader=5)).json() == changed

    gone = await service.ask("DELETE", path, trader=2)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await service.get(path)).status_code == 404
    assert (await service.ask("DELETE", path)).status_code == 404
    assert (await service.ask("PATCH", path, body=change)).json()["code"] == "item_not_found"
    assert (await service.get("/api/items", category="execution", limit=1)).json()["items"] != [made]

    log = (await service.get("/api/audit-log", item_id=item_id)).json()["items"]
    assert [(entry["action"], entry["trader"]["id"]) for entry in log] == [
        ("deleted", 2),
        ("changed", 4),
        ("created", 3),
    ]
    fields = ("title", "description", "category", "priority", "status", "tags", "metadata")
    assert log[0]["changes"] == {name: [changed[name], None] for name in fields}
    assert log[1]["changes"] == {
        "status": ["open", "done"],
        "priority": ["critical", "low"],
        "metadata": [made["metadata"], {"asset": "COCOA"}],
    }
    assert log[2]["changes"] == {name: [None, made[name]] for name in fields}


async def test_each_of_those_posted_together_is_its_poster_s(service: Service) -> None:
    """Whoever posts while others do gets back what they sent, at once readable, and logged under their name."""

    async def post(number: int) -> int:
        sent = {
            "title": f"Item {number}",
            "description": "x" * number,
            "category": ("execution", "risk")[number % 2],
            "priority": model.PRIORITIES[number % 4],
            "status": model.STATUSES[number % 3],
            "tags": [f"of {number}", "Ünïcode \N{GREEK SMALL LETTER OMEGA}"][: number % 3],
            "metadata": {"number": number, "large": 10**30 + number, "half": number / 2, "none": None},
        }
        trader = 1 + number % 5
        made = (await service.post(sent, trader=trader)).json()
        assert made == {**made, **sent}
        assert (await service.get(f"/api/items/{made['id']}", trader=trader)).json() == made
        log = (await service.get("/api/audit-log", item_id=made["id"])).json()["items"]
        assert [entry["trader"]["id"] for entry in log] == [trader]
        assert log[0]["changes"] == {name: [None, value] for name, value in sent.items()}
        assert log[0]["created_at"] == made["created_at"]
        return int(made["id"])

    ids = await asyncio.gather(*(post(number) for number in range(40)))
    assert len(set(ids)) == 40


async def test_what_is_not_noted_is_not_written(service: Service) -> None:
    """A change and its entry in the log are one transaction: none is there without the other."""
    await service.sql("ALTER TABLE audit_log ADD CONSTRAINT refused CHECK (trader_id <> 7) NOT VALID")
    before = await service.sql("SELECT count(*), max(id) FROM items")
    item = (await service.get("/api/items/5")).json()
    assert (await service.post(NEW, trader=7)).status_code in (409, 500)
    assert (await service.ask("PATCH", "/api/items/5", body={"title": "Other"}, trader=7)).status_code in (409, 500)
    assert (await service.ask("DELETE", "/api/items/5", trader=7)).status_code in (409, 500)
    assert await service.sql("SELECT count(*), max(id) FROM items") == before
    assert (await service.get("/api/items/5")).json() == item
    assert (await service.post(NEW, trader=6)).status_code == 201


async def test_changes_at_once_are_all_in_the_log(service: Service) -> None:
    """Each entry begins with what the one before left, whoever comes first."""
    titles = [f"Title {number}" for number in range(8)]
    first = (await service.get("/api/items/9")).json()["title"]
    answers = await asyncio.gather(
        *(service.ask("PATCH", "/api/items/9", body={"title": title}, trader=2) for title in titles)
    )
    assert {answer.status_code for answer in answers} == {200}
    log = (await service.get("/api/audit-log", item_id=9)).json()["items"]
    steps = [
        entry["changes"]["title"]
        for entry in reversed(log)
        if entry["trader"]["id"] == 2 and "title" in entry["changes"]
    ]
    chain = steps[-8:]
    assert chain[0][0] == first
    assert all(before[1] == after[0] for before, after in itertools.pairwise(chain))
    assert {after for _, after in chain} == set(titles)
    assert (await service.get("/api/items/9")).json()["title"] == chain[-1][1]


async def test_the_desk_is_for_traders(service: Service) -> None:
    """Nobody reads without a key, whether an answer is cached or not, and not once the account is switched off."""
    paths = ("/api/items", "/api/items/5", "/api/audit-log")
    for path in paths:
        assert (await service.ask("GET", path, trader=None)).status_code == 401
        assert (await service.get(path)).status_code == 200
        assert (await service.ask("GET", path, trader=None)).status_code == 401
        assert (await service.ask("GET", path, trader=10**6)).status_code == 401
    await service.sql("UPDATE traders SET is_active = false WHERE id = 1")
    await service.settled()
    for path in paths:
        assert (await service.get(path)).status_code == 403
        assert (await service.get(path, trader=2)).status_code == 200


async def test_a_token_is_as_good_as_a_key(service: Service) -> None:
    """It is given for a key, and opens what the key opens."""
    token = (await service.ask("POST", "/api/auth/token")).json()["access_token"]
    shown = await service.client.get("/api/items", headers={"authorization": f"Bearer {token}"})
    assert shown.status_code == 200
    made = await service.client.post("/api/items", json=NEW, headers={"authorization": f"Bearer {token}"})
    assert made.status_code == 201


QUESTIONS: tuple[dict[str, Any], ...] = (
    *({"status": "lost"}, {"priority": "1"}, {"category": ""}, {"category": "a\x00"}, {"tags_any": "a\x00"}),
    *({"metadata": "[1]"}, {"metadata": "{"}, {"metadata": '{"a": NaN}'}, {"metadata": '{"a": "\\u0000"}'}),
    *({"metadata": '{"a": "\\ud800"}'}, {"metadata": '{"a": 1e999}'}, {"metadata": '{"a":' * 300}),
    *({"q": "x"}, {"q": "margin\x00"}, {"created_since": "yesterday"}, {"created_since": "2026-01-01T00:00:00"}),
    *({"created_since": "0001-01-01T00:00:00+14:00"}, {"created_before": "9999-12-31T23:59:59-01:00"}),
    *({"tags_all": ["x"] * 11}, {"limit": 101}),
)
ITEMS: tuple[dict[str, Any], ...] = (
    *({}, {"title": "a"}, {**NEW, "priority": 1}, {**NEW, "id": 7}, {**NEW, "title": " "}, {**NEW, "tags": [""]}),
    *({**NEW, "title": "a\x00"}, {**NEW, "metadata": {"a": "\x00"}}, {**NEW, "metadata": {"\x00": 1}}),
    *({**NEW, "metadata": []}, {**NEW, "metadata": {"a": "x" * 10_001}}, {**NEW, "tags": ["x"] * 21}),
)
CHANGES: tuple[dict[str, Any], ...] = (
    *({}, {"title": None}, {"status": "lost"}, {"created_at": "2026-01-01T00:00:00Z"}),
)


async def test_what_makes_no_sense(service: Service) -> None:
    """It is 422, never a failure of the database; and nothing is stored or noted."""
    held = "SELECT (SELECT max(id) FROM items), (SELECT max(id) FROM audit_log)"
    before = await service.sql(held)
    for query in QUESTIONS:
        assert (await service.get("/api/items", **query)).status_code == 422, query
    for body in ITEMS:
        assert (await service.post(body)).status_code == 422, body
    for body in CHANGES:
        assert (await service.ask("PATCH", "/api/items/5", body=body)).status_code == 422, body
    for number in ("seven", 0, 2**63):
        assert (await service.get(f"/api/items/{number}")).status_code == 422, number
    assert (await service.get(f"/api/items/{2**63 - 1}")).status_code == 404
    assert await service.sql(held) == before


async def test_a_page_of_one_category_outlives_writes_to_others(optimised: Service) -> None:
    """It is kept until something of that category is written; a page of all is not."""

    async def kept(**query: Any) -> str:
        return (await optimised.get("/api/items", **query)).headers["cache-status"]

    for query in ({"category": "risk"}, {}, {"category": "execution"}):
        await kept(**query)
        assert "hit" in await kept(**query)
    assert (await optimised.post({**NEW, "category": "execution"}, trader=2)).status_code == 201
    assert "hit" in await kept(category="risk")
    assert "hit" not in await kept()
    assert "hit" not in await kept(category="execution")


async def test_who_asks_too_often(start_service: StartService) -> None:
    """A trader's limit is the trader's own: it counts cached answers too, and nobody else's."""
    limits = RateLimitSettings(general="5/minute", general_burst=5)
    async with start_service("optimised", rate_limit=limits) as service:
        statuses = [(await service.get("/api/items")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        assert (await service.get("/api/items", trader=2)).status_code == 200


def test_what_is_said_twice_is_the_same() -> None:
    """The words of requests are those that the tables accept."""
    assert get_args(schemas.Status) == model.STATUSES
    assert get_args(schemas.Priority) == model.PRIORITIES
    assert get_args(schemas.Action) == model.ACTIONS
