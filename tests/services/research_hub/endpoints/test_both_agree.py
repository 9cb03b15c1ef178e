"""Whatever is asked, the service as it was and the fast one say the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.services.research_hub.endpoints.conftest import Service

EVERYBODYS: dict[str, list[dict[str, Any]]] = {
    "/api/cards": [{}],
    "/api/contents": [
        {},
        {"platform": "reddit"},
        {"platform": "nowhere"},
        {"state": "analyzed"},
        {"state": "embedded"},
        {"state": "analyzed", "platform": "youtube"},
        {"state": "embedded", "platform": "reddit"},
    ],
    "/api/attributions": [{}, {"card_id": 5}, {"content_id": 17}, {"card_id": 5, "content_id": 17}, {"card_id": 10**9}],
    "/api/authors": [{"q": q} for q in ("yas", "Nakamura", "nakmura", "agnes_", "zzz", "%%%", "' OR 1")],
    "/api/patterns": [{}, {"sort": "-discovered_at"}, {"type": "theme"}, {"type": "anomaly", "sort": "-discovered_at"}],
    "/api/users": [{}, {"username": "IT IS NOBODY"}],
}
PAGES: list[dict[str, Any]] = [
    {"limit": 3},
    {"limit": 3, "offset": 2, "total": "exact"},
    {"limit": 100, "total": "capped"},
]


@pytest.mark.parametrize("path", EVERYBODYS)
async def test_pages_agree(pair: tuple[Service, Service], path: str) -> None:
    """Items, totals, cursors and links, of the first page and of those behind and before it."""
    slow, fast = pair
    if path == "/api/contents":
        await fast.sql("UPDATE contents SET embedding = array_fill(0.05::real, ARRAY[384])::halfvec WHERE id % 7 = 0")
        await fast.settled()
    seen = 0
    for filters in EVERYBODYS[path]:
        for page in PAGES:
            question = {**filters, **page}
            for _ in range(3):
                expected, found = await asyncio.gather(slow.get(path, **question), fast.get(path, **question))
                assert expected.status_code == 200, expected.text
                assert found.json() == expected.json(), question
                assert found.headers["link"] == expected.headers["link"]
                seen += len(expected.json()["items"])
                cursor = expected.json()["next_cursor"]
                if cursor is None:
                    break
                question = {**filters, "limit": page["limit"], "cursor": cursor}
    assert seen > 5


async def test_users_of_any_case(pair: tuple[Service, Service]) -> None:
    """A name is found in upper and lower case, and an address by administrators only, who are told it."""
    slow, fast = pair
    (user,) = await fast.sql("SELECT * FROM users WHERE id = 3")
    for service in (slow, fast):
        (found,) = (await service.get("/api/users", username=user["username"].upper())).json()["items"]
        assert (found["id"], found["username"], "email" in found) == (3, user["username"], False)
        told = await service.get("/api/users/lookup", user=1, email=user["email"].upper())
        assert (told.status_code, told.json()["id"], told.json()["email"]) == (200, 3, user["email"])
        assert told.headers["cache-control"] == "no-store"
        assert (await service.get("/api/users/lookup", user=1, email="nobody@hub.example")).status_code == 404
        assert (await service.get("/api/users/lookup", email=user["email"])).status_code == 401
        assert (await service.get("/api/users/lookup", user=3, email=user["email"])).status_code == 403


async def test_what_authors_are_found(service: Service) -> None:
    """Those whose names are like the word, mistyped or not, the best match first, and of those the most followed."""
    await service.sql(
        "INSERT INTO authors (platform, username, display_name, followers) VALUES "
        "('reddit', 'wordsmith', 'Ann Other', 5), ('youtube', 'x', 'The Wordsmith', 9), "
        "('reddit', 'wordsmth', 'Ann Other', 99), ('reddit', 'password', 'Nobody', 1000)"
    )
    await service.settled()
    found = (await service.get("/api/authors", q="WordSmith")).json()["items"]
    assert [author["username"] for author in found] == ["x", "wordsmith", "wordsmth"]
    assert set(found[0]) == {"id", "platform", "username", "display_name", "followers"}


async def test_posts_of_patterns_that_have_gone(service: Service) -> None:
    """A pattern shows those of its posts that are still there."""
    await service.sql(
        "INSERT INTO patterns (type, description, confidence_score, content_ids) VALUES "
        "('trend', 'new', 1, ARRAY[9, 3, 9, 1000000])"
    )
    await service.settled()
    pattern = (await service.get("/api/patterns", limit=1)).json()["items"][0]
    assert (pattern["description"], pattern["confidence_score"]) == ("new", 1)
    assert [post["id"] for post in pattern["contents"]] == [3, 9]


async def test_drafts_are_attributed_to_nobody_yet(service: Service) -> None:
    """What a draft goes back to shows when the card does."""
    draft = (
        await service.post("/api/cards", {"content_id": 3, "title": "a", "body": "b", "publish": False}, user=2)
    ).json()
    assert (await service.get("/api/attributions", card_id=draft["id"])).json()["items"] == []
    await service.sql("UPDATE cards SET published_at = now() WHERE id = $1", draft["id"])
    await service.settled()
    (shown,) = (await service.get("/api/attributions", card_id=draft["id"])).json()["items"]
    assert (shown["card"]["id"], shown["card"]["user"]["id"], shown["content"]["id"]) == (draft["id"], 2, 3)
    odd = await service.client.get(f"/api/attributions?card_id=00{draft['id']}")
    assert odd.json()["items"] == [shown]
    await service.sql("UPDATE cards SET published_at = NULL WHERE id = $1", draft["id"])
    await service.settled()
    for number in (f"00{draft['id']}", str(draft["id"])):
        assert (await service.client.get(f"/api/attributions?card_id={number}")).json()["items"] == []


async def test_research_sessions(service: Service) -> None:
    """Users ask; administrators see what has a status, the newest first; nobody else does."""
    made = await service.post("/api/research-sessions", {"query": "why are counts slow"}, user=2)
    assert made.status_code == 201
    session = made.json()
    assert (session["status"], session["user"]["id"], session["query"]) == ("queued", 2, "why are counts slow")
    queued = (await service.get("/api/research-sessions", user=1, status="queued", total="exact")).json()
    assert queued["items"][0] == session
    assert {each["status"] for each in queued["items"]} == {"queued"}
    done = (await service.get("/api/research-sessions", user=1, status="done")).json()["items"]
    assert [each["created_at"] for each in done] == sorted((each["created_at"] for each in done), reverse=True)
    assert (await service.get("/api/research-sessions", user=2, status="queued")).status_code == 403
    assert (await service.get("/api/research-sessions", status="queued")).status_code == 401
    assert (await service.get("/api/research-sessions", user=1, status="lost")).status_code == 422
    assert (await service.post("/api/research-sessions", {"query": "x"}, user=2)).status_code == 422
    assert (await service.post("/api/research-sessions", {"query": "a question"})).status_code == 401


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/authors", {}),
        ("/api/authors", {"q": "ab"}),
        ("/api/authors", {"q": "abc\x00"}),
        ("/api/contents", {"state": "lost"}),
        ("/api/contents", {"platform": "a\x00"}),
        ("/api/patterns", {"type": "hunch"}),
        ("/api/attributions", {"card_id": 0}),
        ("/api/attributions", {"content_id": 2**63}),
        ("/api/users", {"username": "\x00"}),
    ],
)
async def test_questions_that_make_no_sense(service: Service, path: str, query: dict[str, Any]) -> None:
    """They are 422, never a failure of the database."""
    assert (await service.get(path, **query)).status_code == 422
