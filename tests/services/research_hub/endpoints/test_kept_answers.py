"""Kept answers: from the cache when nothing was written, computed when something was, and never somebody else's."""

from __future__ import annotations

from random import Random
from typing import Any

import httpx2
from tests.services.implementations import run_sql
from tests.services.research_hub.endpoints.conftest import NOW, Service, StartService, key_of

from tailrace_services.research_hub.proof.people import Member
from tailrace_services.research_hub.proof.writes import SQL_WRITES, sql_write

MEMBER = Member(2, key_of(2), 1, "", 0, 17)


def kept(response: httpx2.Response) -> bool:
    """Whether it came from the cache."""
    return "hit" in response.headers["cache-status"]


async def test_second_answer_is_kept(optimised: Service) -> None:
    """Asked again, the same answer comes from the cache, whoever asks for what is everybody's."""
    await optimised.settled()
    first = await optimised.get("/api/cards")
    again = await optimised.get("/api/cards", user=3)
    assert (kept(first), kept(again)) == (False, True), again.headers
    assert again.content == first.content
    assert first.headers["link"] == again.headers["link"]


async def test_ignorable_parameters_are_no_part_of_the_key(optimised: Service) -> None:
    """What means nothing to a read, and the order of what does, makes no other answer."""
    await optimised.settled()
    await optimised.get("/api/cards", limit=5, total="none")
    assert kept(await optimised.get("/api/cards", total="none", utm_source="x", limit=5))
    assert not kept(await optimised.get("/api/cards", limit=6))


async def test_own_answers_are_nobody_elses(optimised: Service) -> None:
    """What is kept of one user is never shown to another, nor to nobody."""
    await optimised.settled()
    mine = await optimised.get("/api/cards/mine", user=2)
    assert kept(await optimised.get("/api/cards/mine", user=2))
    other = await optimised.get("/api/cards/mine", user=3)
    assert not kept(other)
    assert other.json()["items"] != mine.json()["items"]
    assert (await optimised.get("/api/cards/mine")).status_code == 401


READS = (
    *("/api/cards?limit=4", "/api/cards?limit=1&total=exact", "/api/cards/mine?limit=2&total=exact"),
    *("/api/contents?limit=2", "/api/contents?limit=2&state=analyzed&total=exact", "/api/contents?state=embedded"),
    *("/api/attributions?limit=3", "/api/attributions?card_id={card}", "/api/attributions?content_id=17&total=exact"),
    *("/api/authors?q=author&limit=5", "/api/patterns?limit=2", "/api/patterns?limit=1&type=anomaly&total=exact"),
    *("/api/users?limit=12", "/api/users?username=member", "/api/tokens?limit=2"),
)


async def test_any_write_ends_what_shows_it(pair: tuple[Service, Service]) -> None:
    """Whatever plain SQL changes, both implementations say the same of it, however much was kept before."""
    slow, fast = pair

    async def execute(statement: str, *arguments: object) -> None:
        await run_sql(fast.database_url, statement, *arguments)

    (newest,) = await fast.sql("SELECT max(id) AS card FROM cards WHERE user_id = 2")
    reads = [read.format(card=newest["card"]) for read in READS]
    before: dict[str, bytes] = {}
    changed = set()
    for number in range(len(SQL_WRITES)):
        for read in reads:
            before[read] = (await fast.client.get(read, headers=MEMBER.headers)).content
        await sql_write(execute, MEMBER, Only(number), NOW)
        await fast.settled()
        for read in reads:
            expected = await slow.client.get(read, headers=MEMBER.headers)
            found = await fast.client.get(read, headers=MEMBER.headers)
            assert expected.status_code == 200, expected.text
            assert found.json() == expected.json(), (read, SQL_WRITES[number])
            assert found.headers.get("link") == expected.headers.get("link")
            if found.content != before[read]:
                changed.add(read.partition("?")[0])
    assert changed == {read.partition("?")[0] for read in reads}


async def test_drafts_end_their_users_pages_alone(pair: tuple[Service, Service]) -> None:
    """What nobody else is shown ends nobody else's answers, until it is published."""
    slow, fast = pair
    pages = ("/api/cards?total=exact", "/api/attributions?total=exact")

    async def show() -> list[bool]:
        await fast.settled()
        return [kept(await fast.client.get(page)) for page in pages]

    await show()
    body = {"content_id": 1, "title": "Draft", "body": "x", "publish": False}
    draft = (await fast.post("/api/cards", body, user=2)).json()
    assert await show() == [True, True]
    assert (await fast.get("/api/cards/mine", user=2)).json()["items"][0]["id"] == draft["id"]
    for change in (
        f"UPDATE cards SET published_at = now() WHERE id = {draft['id']}",
        f"UPDATE attributions SET weight = 0.5 WHERE card_id = {draft['id']}",
        f"UPDATE cards SET published_at = NULL WHERE id = {draft['id']}",
    ):
        await fast.sql(change)
        await fast.settled()
        for page in pages:
            assert (await fast.client.get(page)).json() == (await slow.client.get(page)).json(), change
        assert await show() == [True, True]
    await fast.sql(f"UPDATE attributions SET weight = 0.75 WHERE card_id = {draft['id']}")
    assert await show() == [True, True]


class Only(Random):
    """Chooses one of them, by its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._number = number

    def choice(self, seq: Any) -> Any:
        return seq[self._number]


async def test_writers_see_their_cards_at_once(start_service: StartService) -> None:
    """A card that was answered with 201 is in the next answer, without waiting for anything."""
    async with start_service("optimised") as service:
        for number in range(20):
            await service.get("/api/cards")
            body = {"content_id": 1, "title": f"Card {number}", "body": "x"}
            made = (await service.post("/api/cards", body, user=1 + number % 3)).json()
            shown = await service.get("/api/cards")
            assert shown.json()["items"][0]["id"] == made["id"]
