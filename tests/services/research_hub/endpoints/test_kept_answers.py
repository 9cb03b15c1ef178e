"""Kept answers: from the cache when nothing was written, computed when something was, and never somebody else's."""

from __future__ import annotations

from random import Random

import pytest
from tests.services.implementations import run_sql
from tests.services.research_hub.endpoints.conftest import NOW, Service, StartService, key_of

from tailrace_services.research_hub.proof import SUBJECT
from tailrace_services.research_hub.proof.people import Member
from tailrace_services.research_hub.proof.writes import SQL_WRITES, sql_write

MEMBER = Member(2, key_of(2), 1, 17)


def kept(service: Service, response: object) -> bool:
    """Whether it came from the cache."""
    return "hit" in response.headers["cache-status"]  # type: ignore[attr-defined]


async def test_second_answer_is_kept(optimised: Service) -> None:
    """Asked again, the same answer comes from the cache, whoever asks for what is everybody's."""
    await optimised.settled()
    first = await optimised.get("/api/cards")
    again = await optimised.get("/api/cards", user=3)
    assert (kept(optimised, first), kept(optimised, again)) == (False, True), again.headers
    assert again.content == first.content
    assert first.headers["link"] == again.headers["link"]


async def test_ignorable_parameters_are_no_part_of_the_key(optimised: Service) -> None:
    """What means nothing to a read, and the order of what does, makes no other answer."""
    await optimised.settled()
    await optimised.get("/api/cards", limit=5, total="none")
    assert kept(optimised, await optimised.get("/api/cards", total="none", utm_source="x", limit=5))
    assert not kept(optimised, await optimised.get("/api/cards", limit=6))


async def test_own_answers_are_nobody_elses(optimised: Service) -> None:
    """What is kept of one user is never shown to another, nor to nobody."""
    await optimised.settled()
    mine = await optimised.get("/api/cards/mine", user=2)
    assert kept(optimised, await optimised.get("/api/cards/mine", user=2))
    other = await optimised.get("/api/cards/mine", user=3)
    assert not kept(optimised, other)
    assert other.json()["items"] != mine.json()["items"]
    assert (await optimised.get("/api/cards/mine")).status_code == 401


@pytest.mark.parametrize("number", range(len(SQL_WRITES)))
async def test_any_write_ends_what_shows_it(pair: tuple[Service, Service], number: int) -> None:
    """Whatever plain SQL changes, both implementations say the same of it, however much was kept before."""
    slow, fast = pair

    class Only(Random):
        def choice(self, seq):  # type: ignore[no-untyped-def]
            return seq[number]

    async def execute(statement: str, *arguments: object) -> None:
        await run_sql(fast.database_url, statement, *arguments)

    requests = [each.request(MEMBER, turn) for each in SUBJECT.endpoints for turn in range(4)]
    for turn in range(3):
        for request in requests:
            await fast.client.get(request.target, headers=request.headers)
        await sql_write(execute, MEMBER, Only(turn), NOW)
        await fast.settled()
        for request in requests:
            expected = await slow.client.get(request.target, headers=request.headers)
            found = await fast.client.get(request.target, headers=request.headers)
            assert expected.status_code == 200
            assert found.json() == expected.json(), request.target
            assert found.headers.get("link") == expected.headers.get("link")


async def test_writers_see_their_cards_at_once(start_service: StartService) -> None:
    """A card that was answered with 201 is in the next answer, without waiting for anything."""
    async with start_service("optimised") as service:
        for number in range(20):
            await service.get("/api/cards")
            body = {"content_id": 1, "title": f"Card {number}", "body": "x"}
            made = (await service.post("/api/cards", body, user=1 + number % 3)).json()
            shown = await service.get("/api/cards")
            assert shown.json()["items"][0]["id"] == made["id"]
