"""Cards: what is shown of them, to whom, page by page, and what is refused when one is written."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.research_hub.endpoints.conftest import Service

PUBLISHED = "SELECT * FROM cards WHERE published_at IS NOT NULL ORDER BY published_at DESC, id DESC"
CARD = {"content_id": 7, "title": "A card", "body": "What it says."}


async def test_published_cards_newest_first(service: Service) -> None:
    """Everybody sees published cards and no draft, with what they are about, who wrote it and where it comes from."""
    found = await service.get("/api/cards", limit=100, total="exact")
    assert found.status_code == 200
    body = found.json()
    published = await service.sql(
        "SELECT * FROM cards WHERE published_at IS NOT NULL ORDER BY published_at DESC, id DESC"
    )
    assert [card["id"] for card in body["items"]] == [row["id"] for row in published[:100]]
    assert (body["total"], body["total_is"], body["has_next"]) == (len(published), "exact", True)
    card, (row,) = body["items"][0], await service.sql(
        "SELECT c.*, u.username, p.platform, p.url, p.title AS post, a.id AS author, a.username AS author_name, "
        "a.display_name FROM cards c JOIN users u ON u.id = c.user_id JOIN contents p ON p.id = c.content_id "
        "JOIN authors a ON a.id = p.author_id WHERE c.id = $1",
        published[0]["id"],
    )  # fmt: skip
    assert (card["title"], card["body"]) == (row["title"], row["body"])
    assert card["user"] == {"id": row["user_id"], "username": row["username"]}
    author = {"id": row["author"], "username": row["author_name"], "display_name": row["display_name"]}
    post = {"id": row["content_id"], "platform": row["platform"], "url": row["url"], "title": row["post"]}
    assert card["content"] == {**post, "author": author}
    for card in body["items"]:
        weights = [source["weight"] for source in card["attributions"]]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1)


async def test_own_cards_with_drafts(service: Service) -> None:
    """One's own cards are all of them, drafts as well, and nobody else's."""
    body = (await service.get("/api/cards/mine", user=2, limit=100, total="exact")).json()
    rows = await service.sql("SELECT * FROM cards WHERE user_id = 2 ORDER BY created_at DESC, id DESC")
    assert [card["id"] for card in body["items"]] == [row["id"] for row in rows[:100]]
    assert body["total"] == len(rows)
    assert {card["user"]["id"] for card in body["items"]} == {2}
    assert any(card["published_at"] is None for card in body["items"])
    other = (await service.get("/api/cards/mine", user=3, limit=100)).json()
    assert {card["user"]["id"] for card in other["items"]} == {3}
    assert (await service.get("/api/cards/mine")).status_code == 401
    assert (await service.get("/api/cards/mine", user=13)).status_code == 401


async def test_every_page_once(service: Service) -> None:
    """Following the links shows every published card once, forward and back, while others publish."""
    rows = await service.sql(PUBLISHED)
    found, cursor = [], None
    while cursor is not None or not found:
        more = {} if cursor is None else {"cursor": cursor}
        page = await service.get("/api/cards", limit=100, **more)
        found += [card["id"] for card in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        await service.post("/api/cards", CARD, user=1)
    assert found == [row["id"] for row in rows]
    back = await service.get("/api/cards", limit=100, cursor=page.json()["previous_cursor"])
    assert [card["id"] for card in back.json()["items"]] == found[-100 - len(found) % 100 :][:100]
    assert back.headers["link"].count("/api/cards?") == 4


async def test_a_new_card(service: Service) -> None:
    """Who writes a card is told what it became, and everybody sees it at once; a draft only its writer."""
    sources = [{"content_id": 3, "weight": 0.25}, {"content_id": 7, "weight": 0.5}]
    made = await service.post("/api/cards", {**CARD, "attributions": sources}, user=2)
    assert made.status_code == 201
    card = made.json()
    assert (card["published_at"], card["created_at"]) == ("2026-03-31T12:30:12.345678Z",) * 2
    assert card["user"]["id"] == 2
    assert [(source["content_id"], source["weight"]) for source in card["attributions"]] == [(7, 0.5), (3, 0.25)]
    assert (await service.get("/api/cards")).json()["items"][0] == card
    draft = (await service.post("/api/cards", {**CARD, "publish": False}, user=2)).json()
    assert draft["published_at"] is None
    assert [source["weight"] for source in draft["attributions"]] == [1]
    assert (await service.get("/api/cards")).json()["items"][0] == card
    assert (await service.get("/api/cards/mine", user=2)).json()["items"][:2] == [draft, card]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"content_id": 601}, "no content 601"),
        ({"attributions": [{"content_id": 10**6, "weight": 1}]}, "no content 1000000"),
        ({"attributions": [{"content_id": 1, "weight": 0.6}, {"content_id": 2, "weight": 0.5}]}, "more than 1"),
        ({"attributions": [{"content_id": 1, "weight": 0.1}] * 2}, "name each post once"),
        ({"attributions": [{"content_id": 1, "weight": 0}]}, "greater than 0"),
        ({"title": " "}, "at least 1 character"),
        ({"title": "a\x00b"}, "NUL"),
        ({"content_id": "7"}, "valid integer"),
        ({"content_id": 2**63}, "less than or equal"),
        ({"user_id": 3}, "not permitted"),
    ],
)
async def test_cards_that_are_refused(service: Service, change: dict[str, Any], told: str) -> None:
    """What makes no sense is 422, says why, and leaves nothing behind."""
    before = await service.sql("SELECT count(*) FROM cards")
    refused = await service.post("/api/cards", {**CARD, **change}, user=1)
    assert refused.status_code == 422
    assert told in refused.text
    assert await service.sql("SELECT count(*) FROM cards") == before


async def test_writing_needs_a_key(service: Service) -> None:
    """Nobody writes without a key, with another's secret, or with a key that was switched off; a token will do."""
    key = await service.sql("SELECT 1 FROM api_keys WHERE id = 4 AND active")
    assert key
    assert (await service.post("/api/cards", CARD)).status_code == 401
    wrong = await service.client.post("/api/cards", json=CARD, headers={"x-api-key": "rh_4_" + "0" * 40})
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"] == "Bearer"
    token = (await service.post("/api/auth/token", None, user=4)).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    assert (await service.client.post("/api/cards", json=CARD, headers=bearer)).status_code == 201
    await service.sql("UPDATE api_keys SET active = false WHERE id = 4")
    await service.settled()
    assert (await service.post("/api/cards", CARD, user=4)).status_code == 403
    assert (await service.client.get("/api/cards/mine", headers=bearer)).status_code == 403


async def test_pages_that_are_refused(service: Service) -> None:
    """A limit, an order, a total or a cursor that there is none of is refused and says so."""
    for query in ({"limit": 0}, {"limit": 101}, {"sort": "title"}, {"total": "all"}, {"offset": -1}):
        assert (await service.get("/api/cards", **query)).status_code == 422, query
    for query in ({"cursor": "nonsense"}, {"offset": 1001}):
        assert (await service.get("/api/cards", **query)).status_code == 400, query
    cursor = (await service.get("/api/cards")).json()["next_cursor"]
    assert (await service.get("/api/cards/mine", user=1, cursor=cursor)).status_code == 400
    mine = (await service.get("/api/cards/mine", user=1)).json()["next_cursor"]
    assert (await service.get("/api/cards/mine", user=2, cursor=mine)).status_code == 400
